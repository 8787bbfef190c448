// Commands and menu entries that open one of the pack's workflows.
import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"

// Scripts are served from extensions/<folder of the pack>/js.
const PACK = new URL("..", import.meta.url).pathname.split("/").at(-2)

const COMMANDS = [
  { id: "AudioX.InsertVideoToAudio", label: "AudioX: open video-to-audio workflow", workflow: "v2a_turbo" },
  { id: "AudioX.InsertTextToAudio", label: "AudioX: open text-to-audio workflow", workflow: "t2a_turbo" },
]

async function open(workflow) {
  const response = await api.fetchApi(`/workflow_templates/${PACK}/${workflow}.json`)
  if (response.ok) return app.loadGraphData(await response.json(), true, true, workflow)
  const detail = `The server returned ${response.status} for ${workflow}.json. Check that the pack's workflows folder is complete.`
  app.extensionManager.toast.add({ severity: "error", summary: "AudioX", detail })
}

app.registerExtension({
  name: "AudioXNative.Commands",
  commands: COMMANDS.map(({ id, label, workflow }) => ({ id, label, icon: "pi pi-volume-up", function: () => open(workflow) })),
  menuCommands: [{ path: ["Extensions", "AudioX"], commands: COMMANDS.map(({ id }) => id) }],
})
