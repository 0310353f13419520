package catalogue

import "github.com/blindbox/blindbox/attest"

// CodeImage is the code of an app's image that could not be had.
const CodeImage attest.Code = "image"

// image is what can go wrong with the image of an app.
func image() Entry {
	return Entry{
		Number: 120, Codes: []attest.Code{CodeImage},
		Title:   "the image could not be had, or is not one that a box runs",
		Cause:   "The registry does not know the name, wants a login, cannot be reached, or answers with other bytes than the digest names; the folder holds no image for the box's platform; or a layer is of a kind that the box does not read (zstd, encrypted, or kept elsewhere).",
		NotDone: "No digest was written and no folder was made.",
		Fix:     "Check the name with its host and tag. A private registry gets BLINDBOX_REGISTRY_LOGIN=USER:PASSWORD. Layers must be tar archives, plain or compressed with gzip.",
		Example: "$ blindbox pin box.yaml\nBBX-120 image: the image could not be had, or is not one that a box runs\n  seen       registry: ghcr.io says 404 Not Found to acme/whisper/2.4.1, expected 200",
	}
}
