package model

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/blindbox/blindbox/internal/strictjson"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// maxTexts is how many texts a request for embeddings may have, as OpenAI has it.
const maxTexts = 2048

// embeddingRequest is what a request for embeddings says, but for its model.
type embeddingRequest struct {
	texts      []string
	base64     bool
	dimensions int64 // 0: not said
}

// readEmbeddings reads a body that [named] has read before.
func readEmbeddings(body []byte, beside *work) (*embeddingRequest, error) {
	q := &embeddingRequest{}
	err := oneObject(body, beside, q.member)
	switch {
	case errors.As(err, new(*failure)):
		return nil, err
	case err != nil:
		return nil, fail(http.StatusBadRequest, "%v", inJSON(err))
	case q.texts == nil:
		return nil, wrong("input", "there is no input, expected a text or a list of texts")
	}
	return q, nil
}

func (q *embeddingRequest) member(r *strictjson.Reader, name string) (err error) {
	if name != "input" && name != "model" && r.Kind() == strictjson.Null {
		return r.Null() // as if it were not there
	}
	switch name {
	case "input":
		return q.input(r)
	case "encoding_format":
		format, err := r.String()
		if err == nil && format != "float" && format != "base64" {
			err = wrong(name, "encoding_format is %.40q, expected float or base64", format)
		}
		q.base64 = format == "base64"
		return err
	case "dimensions":
		if q.dimensions, err = r.Int(32); err == nil && q.dimensions < 1 {
			err = wrong(name, "dimensions is %d, expected a number from 1", q.dimensions)
		}
		return err
	}
	_, err = r.Skip() // the model, which was read, and the user, who is the policy's
	return err
}

// input reads one text, or a list of them.
func (q *embeddingRequest) input(r *strictjson.Reader) error {
	if r.Kind() == strictjson.String {
		return q.text(r)
	}
	if err := r.Array(func() error { return q.text(r) }); err != nil {
		return err
	}
	if len(q.texts) == 0 {
		return wrong("input", "the list of texts is empty")
	}
	return nil
}

func (q *embeddingRequest) text(r *strictjson.Reader) error {
	switch kind := r.Kind(); {
	case kind == strictjson.Number, kind == strictjson.Array:
		return wrong("input", "the input is ids of tokens, and this model makes tokens itself, with the tokenizer of its bundle: send the text (langchain: check_embedding_ctx_length=False)")
	case len(q.texts) == maxTexts:
		return wrong("input", "more than %d texts", maxTexts)
	}
	text, err := r.String()
	if err == nil && text == "" {
		err = wrong("input", "text %d is empty", len(q.texts))
	}
	q.texts = append(q.texts, text)
	return err
}

// embeddings answers POST /v1/embeddings.
func (s *Server) embeddings(ctx context.Context, a *question) (reply, error) {
	if err := a.model.makes("text", "embedding", tensor.Float32, 2, "embeddings of texts"); err != nil {
		return reply{}, err
	}
	q, err := readEmbeddings(a.body, a.beside)
	if err != nil {
		return reply{}, err
	}
	return s.ask(ctx, a, "text", q.texts, func(out map[string]*tensor.Tensor) (reply, error) {
		t := out["embedding"]
		n := int64(len(q.texts))
		if t == nil || len(t.Shape) != 2 || t.Shape[0] != n || t.Shape[1] < 1 {
			return reply{}, fail(http.StatusUnprocessableEntity, "the model did not give an embedding for each of %d texts", n)
		}
		if width := t.Shape[1]; q.dimensions > 0 && q.dimensions != width {
			return reply{}, wrong("dimensions", "dimensions is %d, and %s makes %d, of which none can be left out: do not say any", q.dimensions, a.model.name, width)
		}
		return q.answer(a.model.name, t, tokensOf(out["tokens"]), s.config.answer, a.beside)
	})
}

// tokensOf is how many tokens a pipeline says that it made of the texts.
func tokensOf(t *tensor.Tensor) (sum int64) {
	if t == nil || t.Type != tensor.Int64 {
		return 0
	}
	for _, n := range tensor.Data[int64](t) {
		sum += n
	}
	return sum
}

// answer writes the embeddings, one in each row of t.
func (q *embeddingRequest) answer(model string, t *tensor.Tensor, tokens, limit int64, beside *work) (reply, error) {
	beside.answers()
	b := []byte(`{"object":"list","data":[`)
	data, width := tensor.Data[float32](t), int(t.Shape[1])
	for i := range q.texts {
		if err := beside.on(width * elementText); err != nil {
			return reply{}, err
		}
		row := data[i*width : (i+1)*width]
		for _, v := range row {
			if v64 := float64(v); math.IsNaN(v64) || math.IsInf(v64, 0) {
				return reply{}, fail(http.StatusUnprocessableEntity, "the embedding of text %d has values that are no numbers", i)
			}
		}
		b = fmt.Appendf(comma(b, i), `{"object":"embedding","index":%d,"embedding":`, i)
		if q.base64 {
			b = append(appendBase64(append(b, '"'), row), '"', '}')
		} else {
			b = append(appendFloats(append(b, '['), row), ']', '}')
		}
		if int64(len(b)) > limit {
			return reply{}, tooLong(limit)
		}
	}
	b = append(append(b, `],"model":`...), quoted(model)...)
	return reply{body: fmt.Appendf(b, `,"usage":{"prompt_tokens":%d,"total_tokens":%d}}`, tokens, tokens)}, nil
}

// appendBase64 writes numbers as clients of OpenAI's API read them: float32, little
// endian.
func appendBase64(b []byte, row []float32) []byte {
	raw := make([]byte, 0, 4*len(row))
	for _, v := range row {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return base64.StdEncoding.AppendEncode(b, raw)
}

func appendFloats(b []byte, row []float32) []byte {
	for i, v := range row {
		b = strconv.AppendFloat(comma(b, i), float64(v), 'g', -1, 32)
	}
	return b
}
