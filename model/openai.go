package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/model/store"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// openAI answers for what is below /v1: the parts of OpenAI's API for which a box has
// models, in its forms, so that its clients work as they are.
func (s *Server) openAI(w http.ResponseWriter, r *http.Request, rest []string) (reply, error) {
	switch path := strings.Join(rest, "/"); {
	case path == "models":
		return s.list(w, r, openAIList)
	case len(rest) == 2 && rest[0] == "models":
		return s.openAIModel(w, r, rest[1])
	case path == embeddingsPath:
		return s.named(w, r, s.embeddings)
	case path == transcriptionsPath:
		return s.named(w, r, s.transcription)
	}
	return reply{}, fail(http.StatusNotFound, "no such path; of OpenAI's API there are /v1/models, /v1/%s and /v1/%s", embeddingsPath, transcriptionsPath)
}

// isOpenAI reports whether a request is for OpenAI's API.
func isOpenAI(r *http.Request) bool {
	return strings.HasPrefix(strings.TrimLeft(r.URL.Path, "/"), "v1/")
}

// openAI is the error as OpenAI's clients read it.
func (f *failure) openAI() reply {
	type described struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	e := described{Message: f.text, Type: "invalid_request_error", Param: orNull(f.param), Code: orNull(f.code)}
	switch {
	case f.status == http.StatusTooManyRequests:
		e.Type, e.Code = "rate_limit_error", orNull("rate_limit_exceeded")
	case f.status >= http.StatusInternalServerError:
		e.Type = "server_error"
	}
	a, err := object(f.status, map[string]described{"error": e}, nil)
	if err != nil {
		return f.reply()
	}
	return a
}

// orNull is nil for "".
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// wrong is a refusal of one parameter.
func wrong(param, format string, args ...any) error {
	return &failure{status: http.StatusBadRequest, text: fmt.Sprintf(format, args...), param: param}
}

// openAIEntry is a model as OpenAI's API has it.
type openAIEntry struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func (c *card) openAI() openAIEntry {
	created, _ := time.Parse(time.RFC3339, c.Uploaded) // the zero time where there is none
	owner := c.Owner
	if owner == "" {
		owner = "blindbox"
	}
	return openAIEntry{c.Name, "model", max(created.Unix(), 0), owner}
}

// openAIList is the index as OpenAI's API has it, where there are no versions.
func openAIList(list []card) any {
	data := []openAIEntry{}
	for i, c := range list {
		if i == 0 || list[i-1].Name != c.Name {
			data = append(data, c.openAI())
		}
	}
	return map[string]any{"object": "list", "data": data}
}

// openAIModel describes one model.
func (s *Server) openAIModel(w http.ResponseWriter, r *http.Request, name string) (reply, error) {
	if err := allow(w, r, http.MethodGet, http.MethodHead); err != nil {
		return reply{}, err
	}
	e, err := s.entry(r, store.Reference{Name: name})
	if err != nil {
		return reply{}, err
	}
	c := cardOf(e, r.Header.Get(CallerHeader))
	return object(http.StatusOK, c.openAI(), nil)
}

// question is a request whose model stood in its body.
type question struct {
	header http.Header
	body   []byte
	caller string
	model  *found
	beside *work
}

// named answers a request whose model stands in its body. Which one that is, is read by
// the function that told whoever decided about it; a caller about whose model nobody has
// decided gets none.
func (s *Server) named(w http.ResponseWriter, r *http.Request, answer func(context.Context, *question) (reply, error)) (reply, error) {
	return s.post(w, r, func(ctx context.Context) (reply, error) {
		if r.Header.Get(CallerHeader) != "" && r.Header.Get(ModelHeader) == "" {
			return reply{}, errors.New("model: nothing was decided about the model")
		}
		body, free, err := s.read(ctx, w, r)
		defer free()
		if err != nil {
			return reply{}, err
		}
		beside := s.work(ctx, r.Header.Get(CallerHeader))
		defer beside.end()
		name, err := named(r, body, beside)
		if err != nil {
			return reply{}, orFail(err, http.StatusBadRequest, "%v", err)
		}
		beside.end() // to find a model may be to load it
		m, err := s.find(ctx, r, name, "")
		if err != nil {
			return reply{}, err
		}
		defer m.release()
		return answer(ctx, &question{r.Header, body, r.Header.Get(CallerHeader), m, beside})
	})
}

// ask runs a model on one of its inputs, which is all that it has, and gives out the
// outputs to be written.
func (s *Server) ask(ctx context.Context, q *question, input string, texts []string, write func(out map[string]*tensor.Tensor) (reply, error)) (reply, error) {
	q.beside.end()
	share := s.budget.Share()
	defer share.Release() // not before the answer is written from the outputs
	in := map[string]*tensor.Tensor{input: tensor.Of(texts, int64(len(texts)))}
	out, err := s.run(ctx, q.model, &request{inputs: in}, q.caller, share)
	if err != nil {
		return reply{}, err
	}
	return write(out)
}

// makes refuses a model that does not make an output of an input alone.
func (m *found) makes(input string, output string, typ tensor.DataType, rank int, what string) error {
	takes := func(v onnx.ValueInfo) bool { return v.Name == input && v.Type == tensor.String && len(v.Shape) == 1 }
	gives := func(v onnx.ValueInfo) bool { return v.Name == output && v.Type == typ && len(v.Shape) == rank }
	if len(m.inputs) == 1 && takes(m.inputs[0]) && slices.ContainsFunc(m.outputs, gives) {
		return nil
	}
	seen, err := json.Marshal(describe(m.inputs))
	return errors.Join(err, wrong("model", "%s does not make %s: it takes %s, expected %s BYTES[-1] and an output %s; a bundle with a pipeline.yaml does that", m.name, what, seen, input, output))
}
