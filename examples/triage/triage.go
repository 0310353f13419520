// Package triage is a folder that has all of a pipeline and is small enough to be read: a
// message to a clinic becomes what it is about. The model adds up weights of words, which
// somebody made up; README.md says how its files are made of them.
//
// Nothing in it is part of a trust decision.
package triage

import (
	"embed"
	"io/fs"
)

//go:embed pipeline.yaml tokenizer.json labels.txt triage.onnx
var folder embed.FS

// Folder is what a box is given: pipeline.yaml and what it names.
func Folder() fs.FS { return folder }
