/** Whether models can be run here, and the one command that makes it so. */
import { test } from "tap"
import { checkLocalModel, llamaPlace } from "../../../lib/cli/doctor/local-model.ts"
import { NO_SOURCES } from "../../../lib/options/sources.ts"
import { makePatient } from "../../helpers/patient.ts"

test("what is installed is good, and what is not is a note with its command", async (t) => {
  t.match(await checkLocalModel(makePatient().patient), [{ mark: "good" }])
  const { patient } = makePatient({ llama: { folder: "/home/ann/.llmproxy/node-llama-cpp", url: undefined } })
  t.match(await checkLocalModel(patient), [
    { mark: "note", fix: /^npm install --prefix \/home\/ann\/\.llmproxy\/node-llama-cpp .*node-llama-cpp@3\.22\.1/ },
  ])
})

test("it looks where the option says", async (t) => {
  const sources = { ...NO_SOURCES, set: ["local-model.library=/nowhere/at/all"] }
  t.same(llamaPlace(sources), { folder: "/nowhere/at/all", url: undefined })
})
