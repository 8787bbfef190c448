// The precision of new Load AudioX nodes, as a setting. What is loaded, the server writes on the node by itself.
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
  },
})
