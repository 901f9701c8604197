/**
 * What one version of an addon is given beside its flows: the program's services, each bound to the addon's name. What was
 * asked for in `setup` and takes time (tables) is waited for before the version takes part.
 */
import type { AddonContext, TokenService } from "../api/addon.ts"
import type { DeclareCommand } from "../api/command.ts"
import type { EndpointDocument, Serve } from "../api/serve.ts"
import { NO_STORE, type OpenTables, type StoreService, type TableMigration } from "../api/store.ts"
import type { Clock } from "../base/clock.ts"
import type { Logger } from "../base/log.ts"
import { Redactor } from "../base/secrets/redactor.ts"
import { checkDistinctRoutes, checkRoute, describedAlone, type Route } from "../serve/routes.ts"
import { type Bus, eventsFor, LocalBus } from "../services/event-bus.ts"
import { MetricRegistry } from "../services/metric-registry.ts"
import { checkCommand, type DeclaredCommand } from "./commands.ts"
import { SendGate, type SendService } from "./send-gate.ts"

/** What the program has for its addons. */
export interface Services {
  readonly log: Logger
  readonly clock: Clock
  readonly tokens: TokenService
  /** Default: one that keeps nothing. */
  readonly store?: StoreService
  /** Default: one that knows none of the program's secrets. */
  readonly redactor?: Redactor
  /** Default: one of its own. */
  readonly metrics?: MetricRegistry
  /** Sends what belongs to no flow. Default: there is no proxy. */
  readonly send?: SendService
  /** What carries events. Default: one of its own. */
  readonly bus?: Bus
  /** What an environment variable says. Default: none is set. */
  readonly variable?: AddonContext["variable"]
}

export interface GivenContext {
  readonly context: AddonContext
  /** What `setup` has declared. */
  readonly commands: readonly DeclaredCommand[]
  readonly routes: readonly Route[]
  readonly sends: SendGate
  /** To be called once `setup` has returned. */
  isDone(): void
  /** Resolves when what `setup` has asked for is there. */
  prepared(): Promise<void>
}

export function contextFor(
  name: string,
  services: Services,
  own: Pick<AddonContext, "options" | "state" | "signal">,
): GivenContext {
  const { clock, tokens, store = NO_STORE, redactor = new Redactor() } = services
  const { metrics = new MetricRegistry(), bus = new LocalBus() } = services
  const log = prefixed(services.log, name)
  const asked: Promise<unknown>[] = []
  let isSetUp = false
  const tables: OpenTables = <Tables>(migrations: readonly TableMigration[]) => {
    const opening = store.tables<Tables>(name, migrations)
    opening.catch(() => {}) // Whoever awaits it hears of it.
    if (!isSetUp) asked.push(opening)
    return opening
  }
  const commands: DeclaredCommand[] = []
  const declare: DeclareCommand = (spec) => {
    if (isSetUp) throw new Error(`command "${spec.name}": is to be declared in setup`)
    commands.push(checkCommand(name, spec, context))
  }
  const routes: Route[] = []
  const serve: Serve = (spec, handler) => {
    if (isSetUp) throw new Error(`serve ${spec.path}: is to be declared in setup`)
    const route = checkRoute(name, spec, handler, log)
    checkDistinctRoutes([...routes, route])
    routes.push(route)
  }
  const describe = (endpoints: () => EndpointDocument) => {
    if (isSetUp) throw new Error("describe: is to be called in setup")
    if (typeof endpoints !== "function") throw new TypeError("describe: takes a function that returns a document")
    routes.push(describedAlone(name, endpoints, log))
  }
  const sends = new SendGate(name, own.signal, services.send)
  const context: AddonContext = {
    ...own,
    send: sends.send,
    command: declare,
    serve,
    describe,
    log,
    clock,
    tokens,
    redactor,
    history: store.history,
    records: (of) => store.records(name, of),
    tables,
    events: eventsFor(bus, own.signal, log),
    metrics: metrics.metricsFor(name, own.signal, log),
    variable: services.variable ?? (() => undefined),
  }
  const prepared = async () => {
    await Promise.all(asked)
  }
  const isDone = () => {
    isSetUp = true
  }
  return { context, commands, routes, sends, isDone, prepared }
}

function prefixed(log: Logger, name: string): Logger {
  return {
    debug: (message) => log.debug(`${name}: ${message}`),
    info: (message) => log.info(`${name}: ${message}`),
    warn: (message) => log.warn(`${name}: ${message}`),
    error: (message) => log.error(`${name}: ${message}`),
  }
}
