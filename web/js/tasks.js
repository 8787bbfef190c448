// Task presets of AudioX Encode Text Prompt: choosing a task fills in its sentence.
import { app } from "../../../scripts/app.js"

app.registerExtension({
  name: "AudioXNative.Tasks",

  nodeCreated(node) {
    if (node.comfyClass !== "AudioXEncodeText") return
    const [task, text] = ["task", "text"].map((name) => node.widgets.find((widget) => widget.name === name))
    const { sentences } = node.constructor.nodeData.input.optional.task[1]
    const before = task.callback
    task.callback = function (value, ...rest) {
      before?.call(this, value, ...rest)
      if (value in sentences) text.value = sentences[value]
    }
  },
})
