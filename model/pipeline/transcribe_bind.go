package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/model/pipeline/mel"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// transcribeOpener compares a transcribeTask with its models and files.
type transcribeOpener struct {
	doc              *transcribeTask
	to               *transcriber
	encoder, decoder Model
}

const (
	// Each state of a decoder, such as the keys of a layer, has up to maxStateRow numbers for
	// a token or a frame, and there are up to maxStates of them.
	maxStates   = 512
	maxStateRow = 1 << 14
	// maxWindowFrames is how much an encoder may hear at a time: 30 s.
	maxWindowFrames = 3000
	maxScores       = 1 << 20
)

func (o *transcribeOpener) encoderMisfit(seen, expected string) error {
	return misfit(o.doc.Encoder.Pos, "transcribe.encoder", "a model with "+seen, expected)
}

func (o *transcribeOpener) decoderMisfit(seen, expected string) error {
	return misfit(o.doc.Decoder.Pos, "transcribe.decoder", "a model with "+seen, expected)
}

// hears binds the encoder's input.
func (o *transcribeOpener) hears() error {
	if len(o.encoder.Inputs) != 1 {
		return o.encoderMisfit("the inputs "+names(o.encoder.Inputs), "one input, a spectrogram")
	}
	in := o.encoder.Inputs[0]
	s := in.Shape
	if in.Type != tensor.Float32 || !one(s, 0, 3) || s[1] < 1 || s[1] > mel.MaxBands || s[2] < 2 || s[2] > maxWindowFrames || s[2]%2 != 0 {
		return o.encoderMisfit("the input "+in.String(),
			fmt.Sprintf("float32[1 bands frames] with up to %d bands and %d frames of 10 ms, an even number", mel.MaxBands, maxWindowFrames))
	}
	o.to.features, o.to.bands, o.to.frames = in.Name, int(s[1]), int(s[2])
	return nil
}

// one says whether a shape has so many dimensions, and one element or any number in one of them.
func one(shape []int64, dim, rank int) bool {
	return len(shape) == rank && (shape[dim] == 1 || shape[dim] < 0)
}

// memory is an input of the decoder that it finds out by itself, or that comes from the encoder:
// what it knows of the tokens so far, or of the recording.
type memory struct {
	input, output string
	heads, depth  int64
	heard         bool // it is of the recording, and stays the same for all tokens
	encoded       bool // the encoder gives it
}

// Names of the exports of optimum.
const (
	tokenInput    = "input_ids"
	branchInput   = "use_cache_branch"
	hiddenInput   = "encoder_hidden_states"
	pastPrefix    = "past_key_values."
	presentPrefix = "present."
	heardInfix    = ".encoder."
	scoreOutput   = "logits"
)

// remembers binds the decoder's inputs.
func (o *transcribeOpener) remembers() error {
	takes := false
	for _, in := range o.decoder.Inputs {
		past, isPast := strings.CutPrefix(in.Name, pastPrefix)
		var err error
		switch {
		case in.Name == tokenInput && in.Type == tensor.Int64 && one(in.Shape, 0, 2) && one(in.Shape, 1, 2):
			takes = true
		case in.Name == branchInput && in.Type == tensor.Bool && one(in.Shape, 0, 1):
			o.to.branch = true
		case in.Name == hiddenInput && in.Type == tensor.Float32 && one(in.Shape, 0, 3):
			err = o.hidden(in)
		case isPast && in.Type == tensor.Float32 && one(in.Shape, 0, 4):
			err = o.past(in, presentPrefix+past)
		default:
			err = o.decoderMisfit("the input "+in.String(), "none but input_ids, encoder_hidden_states, past_key_values.* and use_cache_branch, for one recording at a time")
		}
		if err != nil {
			return err
		}
	}
	if !takes || len(o.to.memories) == 0 {
		return o.decoderMisfit("the inputs "+names(o.decoder.Inputs), "input_ids, and past_key_values.* for what it has said so far")
	}
	return nil
}

// hidden binds what the decoder wants of the encoder as it is.
func (o *transcribeOpener) hidden(in onnx.ValueInfo) error {
	for _, out := range o.encoder.Outputs {
		if width := in.Shape[2]; out.Type == tensor.Float32 && one(out.Shape, 0, 3) && (out.Shape[2] == width || out.Shape[2] < 0) && width > 0 && width <= maxStateRow {
			o.to.hidden, o.to.width = out.Name, width
			return nil
		}
	}
	return o.decoderMisfit("the input "+in.String(), "the form of an output of the encoder, whose outputs are "+names(o.encoder.Outputs))
}

// past binds something that the decoder remembers.
func (o *transcribeOpener) past(in onnx.ValueInfo, output string) error {
	m := memory{input: in.Name, output: output, heads: in.Shape[1], depth: in.Shape[3], heard: strings.Contains(in.Name, heardInfix)}
	if m.heads < 1 || m.depth < 1 || m.heads > maxStateRow || m.depth > maxStateRow || m.heads*m.depth > maxStateRow || len(o.to.memories) == maxStates {
		return o.decoderMisfit("the input "+in.String(), fmt.Sprintf("up to %d of them, with as many heads and numbers as they say, up to %d", maxStates, maxStateRow))
	}
	is := func(v onnx.ValueInfo) bool { return v.Name == output }
	m.encoded = slices.ContainsFunc(o.encoder.Outputs, is)
	if m.heard = m.heard || m.encoded; !m.encoded && !slices.ContainsFunc(o.decoder.Outputs, is) {
		return o.decoderMisfit("the input "+in.String(), "an output "+output+" of the decoder or of the encoder")
	}
	o.to.memories = append(o.to.memories, m)
	return nil
}

// scores binds the decoder's output.
func (o *transcribeOpener) scores() error {
	for _, out := range o.decoder.Outputs {
		if s := out.Shape; out.Name == scoreOutput && out.Type == tensor.Float32 && one(s, 0, 3) && one(s, 1, 3) && s[2] > 1 && s[2] <= maxScores {
			o.to.classes = int(s[2])
			return nil
		}
	}
	return o.decoderMisfit("the outputs "+names(o.decoder.Outputs), fmt.Sprintf("logits float32[1 1 tokens], of up to %d tokens", maxScores))
}
