// The player of AudioX Save Sound: the widget of ComfyUI's own audio nodes. ComfyUI shows the picture by itself.
import { app } from "../../../scripts/app.js"

app.registerExtension({
  name: "AudioXNative.Sound",

  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name === "AudioXSaveSound") nodeData.input.required.audioUI = ["AUDIO_UI", {}]
  },
})
