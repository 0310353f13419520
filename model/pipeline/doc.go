// Package pipeline answers: how does one get from what people have (a sentence, a
// photograph, a recording) to what they want (an embedding, labels, text) with this
// model? A small document beside the model, pipeline.yaml, says so; docs/pipelines.md
// has all of its keys.
//
// It stands inside the box. The document, the files beside the model and what callers
// send may all be hostile: [Parse] takes nothing that it does not know, [New] refuses
// what does not fit together (model, files, steps), and [Pipeline.Run] bounds what a
// caller sends before it works on it. It runs no model itself: whoever calls Run gives it
// a function that does.
//
// # Adding to it
//
// An input, a step or a task is a Go type that is read from the document as it stands.
// It lives in one file, and is one line in a table of document.go:
//
//	inputs   what callers send: text, an image, audio; one of them, before the model
//	steps    what is done with what the model says, one after the other
//	tasks    what is more than one model between an input and steps, such as reading
//	         a page of text
package pipeline
