// Package tumour is the demo's model and its patient: a small ONNX classifier
// of breast tumours, and one record that it was not trained on. How both were
// made, from which data, and how good the model is: see README.md.
//
// It is public data. Nothing in it is part of a trust decision.
package tumour

import (
	"bytes"
	_ "embed"
	"strings"
)

// SHA256 is the SHA-256 of Model() in hex: what a box.yaml names it by.
const SHA256 = "e8c18ec353e24ffaed6e218c071d5313f20f72fbfb85fae94ae28c86680a8c98"

//go:embed tumour.onnx
var model []byte

//go:embed sample.json
var sample []byte

//go:embed features.txt
var features string

// Model returns the ONNX file. Input: "features", float32 [batch, 30]. Outputs:
// "probabilities", float32 [batch, 2], and "label", int64 [batch]; both in the
// order of Labels.
func Model() []byte { return bytes.Clone(model) }

// Features returns the names of the 30 inputs, in the model's order.
func Features() []string { return strings.Split(strings.TrimSpace(features), "\n") }

// Labels returns the names of the classes 0 and 1.
func Labels() []string { return []string{"malignant", "benign"} }

// Sample returns a record that the model was not trained on, as a request of
// the Open Inference Protocol, and the name of its true class.
func Sample() (request []byte, label string) { return bytes.Clone(sample), "malignant" }
