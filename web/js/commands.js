// Commands and menu entries: open one of the pack's workflows, and check the installation.
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

const CHECK = { id: "AudioX.Check", label: "AudioX: check this installation", icon: "pi pi-heart", function: check }

// Runs `audiox check` on the server, which takes about a minute, and shows what it prints.
async function check() {
  const wait = { severity: "info", summary: "AudioX", detail: "Checking this installation takes about a minute." }
  app.extensionManager.toast.add(wait)
  const response = await api.fetchApi("/audiox/check", { method: "POST" })
  const { text, report, error } = await response.json().catch(() => ({ error: `The server returned ${response.status}.` }))
  app.extensionManager.toast.remove(wait)
  if (error) return app.extensionManager.toast.add({ severity: "error", summary: "AudioX", detail: error })
  show(text, JSON.stringify(report, null, 1))
}

// A dialog with the text, which can be copied together with the JSON for an issue.
function show(text, json) {
  const dialog = Object.assign(document.createElement("dialog"), { className: "audiox-check" })
  dialog.innerHTML = `<style>.audiox-check { max-width: 90vw; background: var(--comfy-menu-bg); color: var(--input-text) }
    .audiox-check pre { max-height: 70vh; overflow: auto; user-select: text; white-space: pre-wrap; font-size: 12px }</style>
    <pre></pre><button data-copy>Copy for an issue</button> <button data-close>Close</button>`
  dialog.querySelector("pre").textContent = text
  const whole = `${text}\n\n\`\`\`json\n${json}\n\`\`\`\n`
  dialog.querySelector("[data-copy]").onclick = ({ target }) =>
    navigator.clipboard.writeText(whole).then(() => (target.textContent = "Copied"), () => select(dialog.querySelector("pre"), whole))
  dialog.querySelector("[data-close]").onclick = () => dialog.close()
  dialog.onclose = () => dialog.remove()
  document.body.append(dialog)
  dialog.showModal()
}

// Where a page may not write to the clipboard (no HTTPS): shows everything, selected, to be copied by hand.
function select(element, whole) {
  element.textContent = whole
  getSelection().selectAllChildren(element)
}

app.registerExtension({
  name: "AudioXNative.Commands",
  commands: [
    ...COMMANDS.map(({ id, label, workflow }) => ({ id, label, icon: "pi pi-volume-up", function: () => open(workflow) })),
    CHECK,
  ],
  menuCommands: [{ path: ["Extensions", "AudioX"], commands: [...COMMANDS, CHECK].map(({ id }) => id) }],
})
