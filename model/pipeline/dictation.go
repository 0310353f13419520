package pipeline

import (
	"context"
	"fmt"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// dictation is what a decoder knows of one window: what the encoder heard in it, and what was
// said so far.
type dictation struct {
	*transcriber
	ask   Ask
	in    tensors
	steps int // tokens that the decoder got
}

// hear runs the encoder.
func (t *transcript) hear(ctx context.Context, features []float32) (*dictation, error) {
	out, err := t.ask(ctx, t.encoder, tensors{t.features: tensor.Of(features, 1, int64(t.bands), int64(t.frames))})
	if err != nil {
		return nil, err
	}
	d := &dictation{transcriber: t.transcriber, ask: t.ask, in: tensors{}}
	rows := int64(0)
	if t.hidden != "" {
		h := out[t.hidden]
		if err := t.holds(h, 1, -1, t.width); err != nil {
			return nil, fmt.Errorf("pipeline: %s: %s: %w", t.encoder, t.hidden, err)
		}
		d.in[hiddenInput], rows = h, h.Shape[1]
	}
	for _, m := range t.memories {
		if d.in[m.input], err = t.atFirst(m, out[m.output], rows); err != nil {
			return nil, fmt.Errorf("pipeline: %s: %s: %w", t.encoder, m.output, err)
		}
	}
	return d, nil
}

// atFirst is what the decoder remembers before the first token: of the recording what the encoder
// gave, or, if the decoder finds it out itself, nothing in the form that it will have; and nothing
// of what was said.
func (r *transcriber) atFirst(m memory, encoded *tensor.Tensor, rows int64) (*tensor.Tensor, error) {
	switch {
	case m.encoded:
		return encoded, r.holds(encoded, 1, m.heads, -1, m.depth)
	case !m.heard:
		rows = 0
	}
	return tensor.New(tensor.Float32, []int64{1, m.heads, rows, m.depth})
}

// holds refuses what is not of a shape; -1 is up to as many rows as a window has frames.
func (r *transcriber) holds(t *tensor.Tensor, shape ...int64) error {
	if _, err := answered(t, shape...); err != nil {
		return err
	}
	for i, n := range shape {
		if n < 0 && t.Shape[i] > int64(r.frames) {
			return fmt.Errorf("%d rows for %d frames", t.Shape[i], r.frames)
		}
	}
	return nil
}

// next gives the decoder a token, and returns the scores of the one behind it.
func (d *dictation) next(ctx context.Context, token int64) ([]float32, error) {
	first := d.steps == 0
	d.in[tokenInput] = tensor.Of([]int64{token}, 1, 1)
	if d.branch {
		d.in[branchInput] = tensor.List(!first)
	}
	out, err := d.ask(ctx, d.decoder, d.in)
	if err != nil {
		return nil, err
	}
	d.steps++
	for _, m := range d.memories {
		if err := d.remember(m, out[m.output], first); err != nil {
			return nil, fmt.Errorf("pipeline: %s: %s: %w", d.decoder, m.output, err)
		}
	}
	scores, err := answered(out[scoreOutput], 1, 1, int64(d.classes))
	if err != nil {
		return nil, fmt.Errorf("pipeline: %s: %s: %w", d.decoder, scoreOutput, err)
	}
	return scores, nil
}

// remember keeps what the decoder gave: of the recording what it made first, of what was said
// the last, which has a row more each time.
func (d *dictation) remember(m memory, t *tensor.Tensor, first bool) error {
	rows := int64(d.steps)
	switch {
	case m.encoded || m.heard && !first:
		return nil
	case m.heard:
		rows = -1
	}
	if err := d.holds(t, 1, m.heads, rows, m.depth); err != nil {
		return err
	}
	d.in[m.input] = t
	return nil
}

// try hears silence and has the decoder say as many tokens as it may have to: what it takes to
// be said before the last of them is nothing.
func (r *transcriber) try(ctx context.Context, ask Ask) error {
	t := &transcript{transcriber: r, ask: ask}
	d, err := t.hear(ctx, make([]float32, r.bands*r.frames))
	if err == nil {
		_, err = d.next(ctx, r.prompt[0])
	}
	if err == nil {
		_, err = d.last(ctx)
	}
	if err != nil {
		return fmt.Errorf("pipeline.yaml: transcribe: %d tokens for a window of %d frames cannot be had: %w", r.most, r.frames, err)
	}
	return nil
}

// last gives the decoder a token as if it were the last of a window.
func (d *dictation) last(ctx context.Context) ([]float32, error) {
	d.steps = d.transcriber.steps() - 1
	for _, m := range d.memories {
		if m.heard {
			continue
		}
		past, err := tensor.New(tensor.Float32, []int64{1, m.heads, int64(d.steps), m.depth})
		if err != nil {
			return nil, err
		}
		d.in[m.input] = past
	}
	return d.next(ctx, d.prompt[0])
}
