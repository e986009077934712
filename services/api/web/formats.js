// Tells what a file is by its first bytes, as the service does; a name proves nothing.

const FORMATS = [
  { name: "DICOM", mediaType: "application/dicom", at: 128, bytes: [0x44, 0x49, 0x43, 0x4d] },
  { name: "PNG", mediaType: "image/png", at: 0, bytes: [0x89, 0x50, 0x4e, 0x47] },
  { name: "JPEG", mediaType: "image/jpeg", at: 0, bytes: [0xff, 0xd8, 0xff] },
  {
    name: "ZIP",
    advice: "This is a ZIP archive. Unpack it, and send its films one by one; or the whole folder: cxr-triage submit.",
    at: 0,
    bytes: [0x50, 0x4b, 0x03, 0x04],
  },
];
// What the page does not know it sends all the same: the service says what is wrong with it.
const UNKNOWN = { name: "A file of another kind", mediaType: "application/octet-stream" };

/**
 * Return the format of a film.
 * @param {Blob} file
 * @returns {Promise<{name: string, mediaType?: string, advice?: string}>} `advice` where it is none to be sent
 */
export async function formatOf(file) {
  const head = new Uint8Array(await file.slice(0, 132).arrayBuffer());
  return FORMATS.find(({ at, bytes }) => bytes.every((byte, offset) => head[at + offset] === byte)) ?? UNKNOWN;
}
