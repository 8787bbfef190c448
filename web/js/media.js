// The media file that a node's links lead back to: its length, and a small picture of it.
import { api } from "../../../scripts/api.js"

const SOURCES = { LoadAudio: ["audio", "audio"], LoadVideo: ["video", "file"] } // kind, widget
const THROUGH = { AudioXMaskRange: "latent", AudioXVAEEncode: "audio", AudioXEncodeVideo: "video", GetVideoComponents: "video" }
const [LONGEST, RATE, COLUMNS] = [600, 22050, 400] // longest sound to decode for a waveform, in seconds
const [FRAMES, HEIGHT] = [8, 96]

// A widget of a node; undefined if a link overrides it.
export function ownWidget(node, name) {
  const widget = node.widgets?.find((each) => each.name === name)
  return widget && node.getSlotFromWidget(widget)?.link == null ? widget : undefined
}

// The file that a node works on, { kind, url, before, after }, with seconds of padding around it; undefined if unknown.
export function fileOf(node) {
  let padding = [0, 0]
  for (let seen = 0; node && seen < 100; seen++) {
    if (node.type in SOURCES) return named(...SOURCES[node.type], node, padding)
    if (node.type === "AudioXVAEEncode") padding = ["before", "after"].map((name) => ownWidget(node, name)?.value)
    const slot = node.inputs.findIndex(({ name }) => name === THROUGH[node.type])
    node = slot < 0 ? null : node.getInputNode(slot)
  }
}

function named(kind, widget, node, [before, after]) {
  const { value, options } = ownWidget(node, widget) ?? {}
  if (before === undefined || after === undefined || !options?.values.includes?.(value)) return
  const query = new URLSearchParams({ filename: value, type: "input", subfolder: value.split("/").slice(0, -1).join("/") })
  return { kind, url: api.apiURL(`/view?${query}`), before, after }
}

// { seconds, picture } of a file, with an element that fills itself; undefined if the browser cannot play the file.
export async function opened(file) {
  if (!file) return
  const { kind, url } = file
  const media = Object.assign(document.createElement(kind), { muted: true, preload: "metadata", src: url })
  if (!(await happens(media, "loadedmetadata")) || !Number.isFinite(media.duration)) return
  const picture = document.createElement("div")
  if (kind === "video") drawFrames(media, picture)
  else if (media.duration <= LONGEST) drawWaveform(url, picture)
  return { seconds: media.duration, picture }
}

const happens = (media, event) =>
  new Promise((resolve) => {
    media.addEventListener(event, () => resolve(true), { once: true })
    media.addEventListener("error", () => resolve(false), { once: true })
  })

async function drawFrames(video, picture) {
  for (let i = 0; i < FRAMES; i++) {
    video.currentTime = ((i + 0.5) / FRAMES) * video.duration
    if (!(await happens(video, "seeked")) || !video.videoWidth) return
    const frame = document.createElement("canvas")
    Object.assign(frame, { height: HEIGHT, width: Math.round((HEIGHT * video.videoWidth) / video.videoHeight) })
    frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height)
    picture.append(frame)
  }
}

async function drawWaveform(url, picture) {
  const bytes = await (await fetch(url)).arrayBuffer()
  const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes).catch(() => undefined)
  if (!sound) return
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i))
  const lines = Array.from({ length: COLUMNS }, (_, i) => {
    const [from, to] = [i, i + 1].map((edge) => Math.floor((edge / COLUMNS) * sound.length))
    let peak = 0.01
    for (const channel of channels) for (let n = from; n < to; n++) peak = Math.max(peak, Math.abs(channel[n]))
    return `M${i + 0.5} ${-peak}V${peak}`
  })
  picture.innerHTML = `<svg viewBox="0 -1.05 ${COLUMNS} 2.1" preserveAspectRatio="none"><path d="${lines.join("")}"/></svg>`
}
