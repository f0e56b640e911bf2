export {
  BrokerError,
  type BrokerErrorDetails,
  type Component,
  ERROR_CODES,
  type ErrorCode,
  isErrorCode,
} from './errors.js'
