// Without OpenTelemetry, whose packages are not everybody's: these are types of the plugin.

import type { Duration } from '../duration.ts'

/** How OpenTelemetry calls them. */
export type SamplerName =
  | 'always_on'
  | 'always_off'
  | 'traceidratio'
  | 'parentbased_always_on'
  | 'parentbased_always_off'
  | 'parentbased_traceidratio'

/** How who takes spans by https is known, and who sends them: PEM. */
export interface TracingTls {
  /** One of these authorities has to vouch for it; default: those of Node.js. */
  readonly ca?: string | Buffer
  /** Who this is; `key` belongs to it. */
  readonly cert?: string | Buffer
  /** The private key of `cert`. */
  readonly key?: string | Buffer
}

export interface TracingOptions {
  /** What takes spans by OTLP: the whole URL, `http://localhost:4318/v1/traces`. */
  endpoint: string
  /** Default `http/protobuf`. */
  protocol?: 'http/protobuf' | 'http/json'
  /** Sent with each batch: who this is. */
  headers?: Readonly<Record<string, string>>
  /** How long sending a batch may take, all tries together: milliseconds, or a text like `'10s'`, which is the default. */
  timeout?: Duration
  /** How what is sent is made smaller; default `none`. */
  compression?: 'gzip' | 'none'
  /** Of an endpoint by https. */
  tls?: TracingTls
  /** Which traces are kept; default `parentbased_always_on`. */
  sampler?: SamplerName
  /** Of those with a ratio: the part of traces that is kept, 0 to 1; default 1. */
  ratio?: number
  /** What the spans are of: `service.name`, `service.version` and others. */
  attributes?: Readonly<Record<string, string>>
  /** How many spans wait at most, the others are lost; how many are sent at once, and how long they wait at most for that. */
  queue?: { readonly size?: number; readonly batch?: number; readonly delay?: Duration }
}

/** The same, once it was read: times are milliseconds. */
export type ReadTracing = Omit<TracingOptions, 'timeout' | 'queue'> & {
  timeout: number
  queue: { readonly size: number; readonly batch: number; readonly delay: number }
}
