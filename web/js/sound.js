// The player of AudioX Save Sound: the widget that ComfyUI gives to its own audio nodes. It shows the picture by itself.
import { app } from "../../../scripts/app.js"

app.registerExtension({
  name: "AudioXNative.Sound",

  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name === "AudioXSaveSound") nodeData.input.required.audioUI = ["AUDIO_UI", {}]
  },
})
