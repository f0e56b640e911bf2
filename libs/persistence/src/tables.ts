/** The columns of every table in `migrations/`; there is what they mean. A bigint is read as a number. */
export interface Tables {
  record_batches: {
    group_id: number
    base_offset: number
    last_offset: number
    term: number
    raft_index: number
    base_timestamp: number
    max_timestamp: number
    latest_timestamp: number
    end_bytes: number
    bytes: Buffer
    runs: Buffer | null
    timestamp_deltas: number[]
    key_starts: number[]
    key_lengths: number[]
    value_starts: number[]
    value_lengths: number[]
    slice: number
  }
  copied_batches: {
    group_id: number
    base_offset: number
    last_offset: number
    term: number
    raft_index: number
    max_timestamp: number
    bytes: Buffer
  }
  batch_slices: { slice: number }
  batch_ranges: { group_id: number; first_offset: number; slice: number }
  partition_state: {
    group_id: number
    topic: string
    number: number
    applied_index: number
    applied_term: number
    next_offset: number
    log_start: number
    closed: boolean
    latest_timestamp: number | null
    end_bytes: number
    slice: number | null
    configuration: Buffer | null
    log_configuration: Buffer | null
  }
  dropped_replicas: { group_id: number; move_id: number }
  removed_groups: { group_id: number }
  consumer_cursors: {
    group_id: number
    consumer_id: number
    cursor: number
    grants: unknown
  }
  producer_sequences: {
    group_id: number
    /** Of 64 bits: select it as text. */
    producer_id: string
    epoch: number
    last_sequence: number
    at: number
    batches: unknown
  }
  metadata_state: {
    single: boolean
    applied_index: number
    applied_term: number
    snapshot: string | null
    snapshot_index: number | null
    snapshot_term: number | null
  }
  brokers: {
    id: number
    host: string
    port: number
    uuid: string
    created_at: number
    rack: string
    state: string
  }
  topics: {
    name: string
    replication_factor: number
    partition_count: number
    key_partitions: number
    growth: string | null
    growth_limit: number | null
    growth_max: number | null
    created_at: number
    retention_ms: number | null
    retention_bytes: number | null
    retention_messages: number | null
  }
  partitions: {
    group_id: number
    topic: string
    number: number
    name: string
    closing: boolean
    created_at: number
  }
  replicas: { group_id: number; broker_id: number; position: number }
  producers: { id: number; topic: string; created_at: number }
  consumers: {
    id: number
    topic: string
    start_kind: string
    start_time: number | null
    ack: string
    auto_offset_reset: string
    created_at: number
  }
  health_checks: {
    actor_type: string
    actor_id: number
    last_seen_at: number
    status: string
    since: number
    reason: string
  }
  audit_events: {
    id: number
    at: number
    kind: string
    subject: string
    reason: string
    asked_by: string | null
  }
  messages: {
    topic: string
    partition: string
    partition_number: number
    message_offset: number
    produced_at: Date
    key: string | null
    value: string | null
    value_bytes: Buffer | null
  }
}
