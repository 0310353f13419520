package catalogue

import "github.com/blindbox/blindbox/attest"

// CodeModel is the code of a model file that a box does not read.
const CodeModel attest.Code = "model"

// model is what can go wrong with the file of a model.
func model() Entry {
	return Entry{
		Number: 122, Codes: []attest.Code{CodeModel},
		Title:   "the file is no model that a box reads",
		Cause:   "It is not ONNX, was cut short, is over a limit, or has what a box refuses in every model: weights in other files, sparse tensors, graphs for training, fields that nobody knows. Or it is a folder or a bundle whose files and pipeline.yaml do not fit together; the line says where.",
		NotDone: "Nothing of the model was run.",
		Fix:     "Export the model to ONNX again, with its weights in the same file (`external_data=False`, or `onnx.save`). A file of a few hundred bytes may stand for the one that `git lfs pull` fetches. Of a folder, `blindbox model pack` makes a bundle as a box reads it.",
		Example: "$ blindbox model show model.onnx\nBBX-122 model: the file is no model that a box reads\n  seen       onnx: unknown field 13",
	}
}
