declare const brand: unique symbol

/** A value that passed the one gate which makes it; past it no further checks are needed. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name }
