// A strip to drag below the numbers of AudioX Mask Time Range and AudioX Encode Video Prompt, over a picture of the sound
// or video if its file is known. It only edits the numbers; they are what is saved.
import { app } from "../../../scripts/app.js"
import { fileOf, opened, ownWidget } from "./media.js"

// The second number of a node: an end, or seconds from start. 0 means the end of the sound or video.
const LAST = { AudioXMaskRange: "end", AudioXEncodeVideo: "seconds" }
const [HEIGHT, MARGIN] = [48, 8]
const [FINEST, KEY, SCALE] = [0.01, 0.1, 10] // seconds: step of a number, of an arrow key, shortest strip

const STYLE = `
  .audiox-range { position: relative; box-sizing: border-box; height: ${HEIGHT}px; min-height: ${HEIGHT}px; max-height: ${HEIGHT}px;
    overflow: hidden; padding: 0 8px; border: 1px solid var(--border-color); border-radius: 6px; background: var(--comfy-input-bg);
    color: var(--input-text); font-size: 10px; touch-action: none; user-select: none }
  .audiox-range > div { position: relative; height: 100% }
  .audiox-range span { position: absolute; inset: 0 auto }
  .audiox-range .picture > div { display: flex; height: 100% }
  .audiox-range canvas { flex: 1; min-width: 0; height: 100%; object-fit: cover }
  .audiox-range svg { width: 100%; height: 100%; stroke: currentColor }
  .audiox-range .ticks { inset: auto 0 0; height: 5px;
    background: repeating-linear-gradient(90deg, currentColor 0 1px, transparent 1px var(--every)) }
  .audiox-range .chosen { cursor: grab; background: color-mix(in srgb, var(--p-primary-color) 20%, transparent);
    box-shadow: 0 0 0 9999px color-mix(in srgb, var(--comfy-input-bg) 65%, transparent) }
  .audiox-range [role=slider] { width: 8px; cursor: ew-resize; background: var(--p-primary-color) }
  .audiox-range [role=slider]:first-child { right: 100%; border-radius: 4px 0 0 4px }
  .audiox-range [role=slider]:last-child { left: 100%; border-radius: 0 4px 4px 0 }
  .audiox-range output { position: absolute; right: 0; padding: 0 2px; background: var(--comfy-input-bg); pointer-events: none }`

const HTML = `<div><span class="picture"></span><span class="ticks"></span><span class="chosen">
  <span role="slider" tabindex="0"></span><span role="slider" tabindex="0"></span></span><output></output></div>`

const followers = new WeakMap()
const clamp = (value, low, high) => Math.max(low, Math.min(value, high))

function addStrip(node) {
  const names = ["start", LAST[node.comfyClass]]
  const [fromStart, numbers] = [names[1] === "seconds", names.map((name) => node.widgets.find((each) => each.name === name))]
  const strip = Object.assign(document.createElement("div"), { className: "audiox-range", innerHTML: HTML })
  const [track, picture, ticks, chosen, length] = strip.querySelectorAll("div, .picture, .ticks, .chosen, output")
  const handles = [...chosen.children]
  const height = () => HEIGHT + 2 * MARGIN
  const options = { serialize: false, margin: MARGIN, getMinHeight: height, getMaxHeight: height }
  node.addDOMWidget("range", "AUDIOX_RANGE", strip, options).serialize = false
  let file, media

  // In seconds: the length (known is 0 if it is not), the range, and whether the range is open to the end.
  function state() {
    const [from, last] = numbers.map((widget) => widget.value)
    const to = last && fromStart ? from + last : last
    const known = media ? file.before + media.seconds + file.after : 0
    const open = !to || (known > 0 && to > known)
    const total = known || Math.max(to, open ? from + 1 : 0, SCALE)
    const start = Math.min(from, total)
    return { known, open, total, start, end: open ? total : Math.max(start, to), last }
  }

  // Moves one end of the range, or both without a handle, by seconds.
  function move(handle, { known, open, start, end, last }, by) {
    const was = end
    if (handle === handles[0]) start = clamp(start + by, 0, end - FINEST)
    else if (handle === handles[1]) end = clamp(end + by, start + FINEST, Math.ceil(known / FINEST) * FINEST || Infinity)
    else [start, end] = [start, end].map((edge) => edge + clamp(by, -start, (known || Infinity) - was))
    if (!open || end !== was) last = fromStart ? end - start : end
    for (const [i, value] of [start, last].entries()) {
      const { min, max } = numbers[i].options
      numbers[i].value = clamp(Math.round(value * 100) / 100, min, max)
      numbers[i].callback?.(numbers[i].value, app.canvas, node)
    }
    show()
  }

  function show() {
    const { known, total, start, end } = state()
    const percent = (seconds) => `${(100 * seconds) / total}%`
    Object.assign(chosen.style, { left: percent(start), width: percent(end - start) })
    if (media) Object.assign(picture.style, { left: percent(file.before), width: percent(media.seconds) })
    ticks.style.setProperty("--every", percent(10 ** Math.floor(Math.log10(total / 3))))
    length.value = known ? `${known.toFixed(2)} s` : ""
    chosen.hidden = names.some((name) => !ownWidget(node, name)) // a link sets the number
    for (const [i, { label, name, value }] of numbers.entries())
      Object.assign(handles[i], { ariaLabel: label || name, ariaValueMin: 0, ariaValueMax: total, ariaValueNow: value })
  }

  followers.set(node, () => {
    const [before, now] = [file, fileOf(node)]
    file = now
    if (before?.url !== now?.url) {
      media = undefined
      picture.replaceChildren()
      opened(now).then((loaded) => {
        if (!loaded || file?.url !== now.url) return
        media = loaded
        picture.replaceChildren(loaded.picture)
      })
    }
    show()
  })

  chosen.addEventListener("pointerdown", (event) => {
    if (event.button) return
    event.stopPropagation()
    const [was, width] = [state(), track.getBoundingClientRect().width]
    const drag = ({ clientX }) => move(event.target, was, ((clientX - event.clientX) / width) * was.total)
    chosen.setPointerCapture(event.pointerId)
    chosen.addEventListener("pointermove", drag)
    chosen.addEventListener("lostpointercapture", () => chosen.removeEventListener("pointermove", drag), { once: true })
  })
  chosen.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -KEY, ArrowRight: KEY }[event.key]
    if (!by) return
    event.preventDefault()
    event.stopPropagation()
    move(event.target, state(), by)
  })
}

app.registerExtension({
  name: "AudioXNative.Range",

  // Numbers, links and files change in many ways (typing, undo, other nodes), so the strips poll them.
  setup() {
    document.head.append(Object.assign(document.createElement("style"), { textContent: STYLE }))
    setInterval(() => app.canvas.graph?.nodes.forEach((node) => followers.get(node)?.()), 200)
  },

  nodeCreated(node) {
    if (node.comfyClass in LAST) addStrip(node)
  },
})
