// A setting for the precision of new Load AudioX nodes. The server itself writes on the node what it loaded.
import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"

const PRECISION = "AudioX.Precision"
const { AudioXLoad } = await (await api.fetchApi("/object_info/AudioXLoad")).json()
const [type, { options = type }] = AudioXLoad.input.optional.weight_dtype

app.registerExtension({
  name: "AudioXNative.Model",

  settings: [
    {
      id: PRECISION,
      category: ["AudioX", "Load AudioX", "Precision"],
      name: "Default precision of new Load AudioX nodes",
      type: "combo",
      options,
      defaultValue: options[0],
    },
  ],

  nodeCreated(node) {
    if (node.comfyClass !== "AudioXLoad") return
    // Nodes of a saved workflow get their own value after this.
    node.widgets.find((widget) => widget.name === "weight_dtype").value = app.extensionManager.setting.get(PRECISION)
  },
})
