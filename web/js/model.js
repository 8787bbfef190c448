// Load AudioX: a badge that tells what is loaded, and a precision of the user's choice for new nodes.
import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"

const PRECISION = "AudioX.Precision"
const { AudioXLoad } = await (await api.fetchApi("/object_info/AudioXLoad")).json()
const [type, { options = type }] = AudioXLoad.input.optional.weight_dtype

app.registerExtension({
  name: "AudioX.Model",

  settings: [
    {
      id: PRECISION,
      category: ["AudioX", "Load AudioX", "Precision"],
      name: "Precision of new Load AudioX nodes",
      type: "combo",
      options,
      defaultValue: options[0],
    },
  ],

  nodeCreated(node) {
    if (node.comfyClass !== "AudioXLoad") return
    // A node of a saved workflow gets its own value after this.
    node.widgets.find((widget) => widget.name === "weight_dtype").value = app.extensionManager.setting.get(PRECISION)

    const badge = new window.LGraphBadge({ text: "", fgColor: "white", bgColor: "#3f789e" })
    node.badges.push(() => badge)
    const before = node.onExecuted
    node.onExecuted = function (output) {
      before?.call(this, output)
      badge.text = output.audiox_model?.[0] ?? ""
      this.setDirtyCanvas(true)
    }
  },
})
