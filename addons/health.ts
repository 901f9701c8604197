/**
 * `GET /health/live` and `GET /health/ready`, for who starts and stops programs: an orchestrator, a load balancer. Alive is whoever
 * answers. Ready is whoever serves clients and has the database in which addons keep things. Nothing is said but that, so
 * that anybody may ask.
 */
import { defineAddon } from "llmproxy"
import { createRoute, makeApi, serveApi, z } from "llmproxy/openapi"

const OPTIONS = {
  readyMs: {
    type: "integer",
    default: 2_000,
    min: 1,
    help: "Milliseconds within which the database has to answer; longer is not ready.",
  },
} as const

const Health = z.object({ status: z.enum(["ok", "starting", "no database"]) }).openapi("Health")
const content = { "application/json": { schema: Health } }

export default defineAddon({
  name: "health",
  options: OPTIONS,
  setup({ serve, records, clock, options }) {
    const kept = records("health")
    let isRunning = false
    const hasDatabase = async () => {
      let cancel = () => {}
      const late = new Promise<false>((resolve) => {
        cancel = clock.after(options.readyMs, () => resolve(false)).cancel
      })
      const asked = kept.get("ready").then(
        () => true,
        () => false,
      )
      const isThere = await Promise.race([asked, late])
      cancel()
      return isThere
    }
    const api = makeApi()
    const live = { description: "It answers.", content }
    const method = "get" as const
    const tags = ["health"]
    api.openapi(
      createRoute({
        method,
        tags,
        path: "/health/live",
        summary: "Whether the process answers",
        responses: { 200: live },
      }),
      (c) => c.json({ status: "ok" as const }, 200),
    )
    api.openapi(
      createRoute({
        method,
        tags,
        path: "/health/ready",
        summary: "Whether clients are served",
        responses: { 200: live, 503: { description: "Not yet, or not now.", content } },
      }),
      async (c) => {
        if (!isRunning) return c.json({ status: "starting" as const }, 503)
        return (await hasDatabase())
          ? c.json({ status: "ok" as const }, 200)
          : c.json({ status: "no database" as const }, 503)
      },
    )
    serveApi(serve, api, () => "public")
    return {
      running: () => {
        isRunning = true
      },
    }
  },
})
