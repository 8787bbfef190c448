// A strip below the numbers of AudioX Mask Time Range and AudioX Encode Video Prompt: their range, to drag, over the sound
// or the video where that is known. The numbers stay what counts and what is saved.
import { app } from "../../../scripts/app.js"
import { fileOf, opened, ownWidget } from "./media.js"

// The second number of a node: an end, or a length from start on. 0 is to the end of the sound or the video.
const LAST = { AudioXMaskRange: "end", AudioXEncodeVideo: "seconds" }
const [HEIGHT, MARGIN] = [48, 8]
const [STEP, NUDGE, SCALE] = [0.01, 0.1, 10] // seconds: the finest, of an arrow key, of a strip that knows no length

const STYLE = `
  .audiox-range { position: relative; box-sizing: border-box; min-height: ${HEIGHT}px; max-height: ${HEIGHT}px; overflow: hidden;
    padding: 0 8px; border: 1px solid var(--border-color); border-radius: 6px; background: var(--comfy-input-bg);
    color: var(--input-text); font-size: 10px; touch-action: none; user-select: none }
  .audiox-range > div { position: relative; height: 100% }
  .audiox-range .ticks { position: absolute; inset: auto 0 0; height: 6px;
    background: repeating-linear-gradient(90deg, var(--descrip-text) 0 1px, transparent 1px var(--every)) }
  .audiox-range .picture { position: absolute; inset: 0 auto }
  .audiox-range .picture > div { display: flex; height: 100% }
  .audiox-range svg { width: 100%; height: 100% }
  .audiox-range path { stroke: var(--input-text); stroke-width: 1 }
  .audiox-range canvas { flex: 1; min-width: 0; height: 100%; object-fit: cover }
  .audiox-range .window { position: absolute; inset: 0 auto; cursor: grab;
    background: color-mix(in srgb, var(--p-primary-color) 30%, transparent);
    box-shadow: 0 0 0 9999px color-mix(in srgb, var(--comfy-input-bg) 65%, transparent) }
  .audiox-range [role=slider] { position: absolute; inset: 0 auto; width: 8px; cursor: ew-resize; background: var(--p-primary-color) }
  .audiox-range [role=slider]:first-child { right: 100%; border-radius: 4px 0 0 4px }
  .audiox-range [role=slider]:last-child { left: 100%; border-radius: 0 4px 4px 0 }
  .audiox-range output { position: absolute; right: 2px; top: 0; pointer-events: none }`

const strips = new WeakMap()
const clamp = (value, low, high) => Math.max(low, Math.min(value, high))

function addStrip(node) {
  const names = ["start", LAST[node.comfyClass]]
  const widgets = names.map((name) => node.widgets.find((widget) => widget.name === name))
  const strip = document.createElement("div")
  strip.className = "audiox-range"
  strip.innerHTML = `<div><span class="picture"></span><span class="ticks"></span><span class="window">
    <span role="slider" tabindex="0"></span><span role="slider" tabindex="0"></span></span><output></output></div>`
  const [track, place, ticks, window, length] = ["div", ".picture", ".ticks", ".window", "output"].map((each) => strip.querySelector(each))
  const handles = [...window.children]
  const height = () => HEIGHT + 2 * MARGIN
  const options = { serialize: false, margin: MARGIN, getMinHeight: height, getMaxHeight: height }
  node.addDOMWidget("range", "AUDIOX_RANGE", strip, options).serialize = false

  let file, media

  // In seconds: the length (known is 0 where it is not), the range in it, and whether that goes to the end, wherever it is.
  function state() {
    const [from, last] = widgets.map((widget) => widget.value)
    const to = last && names[1] === "seconds" ? from + last : last
    const known = media ? file.before + media.seconds + file.after : 0
    const open = !to || (known > 0 && to > known)
    const total = known || Math.max(to, open ? from + 1 : 0, SCALE)
    const start = Math.min(from, total)
    return { known, open, total, start, end: open ? total : Math.max(start, to), last }
  }

  // Moves the start, the end or, for undefined, both by seconds from where they were.
  function move(handle, was, by) {
    let { known, open, start, end, last } = was
    if (handle === handles[0]) start = clamp(start + by, 0, end - STEP)
    else if (handle === handles[1]) end = clamp(end + by, start + STEP, Math.ceil(known / STEP) * STEP || Infinity)
    else [start, end] = [start, end].map((edge) => edge + clamp(by, -start, (known || Infinity) - end))
    if (!open || end !== was.end) last = names[1] === "seconds" ? end - start : end
    ;[start, last].forEach((value, i) => {
      const { min, max } = widgets[i].options
      widgets[i].value = clamp(Math.round(value * 100) / 100, min, max)
      widgets[i].callback?.(widgets[i].value, app.canvas, node)
    })
    show()
  }

  function show() {
    const { known, total, start, end } = state()
    const percent = (seconds) => `${(100 * seconds) / total}%`
    Object.assign(window.style, { left: percent(start), width: percent(end - start) })
    ticks.style.setProperty("--every", percent(10 ** Math.floor(Math.log10(total / 3))))
    if (media) Object.assign(place.style, { left: percent(file.before), width: percent(media.seconds) })
    length.value = known ? `${known.toFixed(2)} s` : ""
    window.hidden = names.some((name) => !ownWidget(node, name)) // a link tells the number
    handles.forEach((handle, i) => {
      const { label, name, value } = widgets[i]
      Object.assign(handle, { ariaLabel: label || name, ariaValueMin: 0, ariaValueMax: total, ariaValueNow: value })
    })
  }

  strips.set(node, () => {
    const [before, found] = [file, fileOf(node)]
    file = found
    if (before?.url !== found?.url) {
      media = undefined
      place.replaceChildren()
      if (found)
        opened(found).then((made) => {
          if (!made || file?.url !== found.url) return
          media = made
          place.replaceChildren(made.picture)
        })
    }
    show()
  })

  window.addEventListener("pointerdown", (event) => {
    if (event.button) return
    event.stopPropagation()
    const [was, handle] = [state(), handles.find((each) => each === event.target)]
    const drag = ({ clientX }) => move(handle, was, ((clientX - event.clientX) / track.getBoundingClientRect().width) * was.total)
    window.setPointerCapture(event.pointerId)
    window.addEventListener("pointermove", drag)
    window.addEventListener("lostpointercapture", () => window.removeEventListener("pointermove", drag), { once: true })
  })
  window.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -NUDGE, ArrowRight: NUDGE }[event.key]
    if (!by) return
    event.preventDefault()
    event.stopPropagation()
    move(event.target, state(), by)
  })
}

app.registerExtension({
  name: "AudioX.Range",

  // Numbers, links and files change in many ways (typing, undo, other nodes), so the strips in sight are kept up to date.
  setup() {
    document.head.append(Object.assign(document.createElement("style"), { textContent: STYLE }))
    setInterval(() => app.canvas?.graph?.nodes.forEach((node) => strips.get(node)?.()), 200)
  },

  nodeCreated(node) {
    if (node.comfyClass in LAST) addStrip(node)
  },
})
