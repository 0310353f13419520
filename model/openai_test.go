package model

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/examples/tumour"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
)

// vectors makes x, 2x, 3x of each text that is a number, and says how many words it had.
func vectors() []byte {
	return pb.ModelAt(20,
		pb.Input("text", 8, "n"), pb.Initializer(pb.Floats("k", []int64{1, 3}, 1, 2, 3)), pb.Initializer(pb.Ints("one", []int64{1}, 1)),
		pb.Node("", "StringSplit", []string{"text"}, []string{"words", "tokens"}),
		pb.Node("", "Cast", []string{"text"}, []string{"x"}, pb.AttrInt("to", 1)),
		pb.Node("", "Unsqueeze", []string{"x", "one"}, []string{"column"}),
		pb.Node("", "Mul", []string{"column", "k"}, []string{"embedding"}),
		pb.Output("embedding", 1, "n", 3), pb.Output("tokens", 7, "n"))
}

// heard says what a recording's bytes are.
func heard() []byte {
	return pb.Model(pb.Input("audio", 8, "n"), pb.Node("", "Identity", []string{"audio"}, []string{"text"}), pb.Output("text", 8, "n"))
}

// openAIServer has models for OpenAI's API, and callers that bring their own.
func openAIServer(t testing.TB, opts ...Option) *Server {
	t.Helper()
	models := []Loaded{mustLoad(t, "vectors", vectors()), mustLoad(t, "heard", heard()), mustLoad(t, "tumour", tumour.Model())}
	s, err := NewServer(models, append([]Option{WithStore(bounds())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// decide sends a request as the ingress does: the model is read from the body, and
// decided about.
func decide(t testing.TB, s *Server, caller, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("POST", path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	name, id, err := s.Model(caller, r, []byte(body))
	if err != nil {
		w := httptest.NewRecorder()
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "ingress: %v", err)
		return w
	}
	header = append(header, ModelHeader, name)
	if !id.IsZero() {
		header = append(header, ModelIDHeader, id.String())
	}
	return as(t, s, caller, "POST", path, strings.NewReader(body), header...)
}

// multipartOf is a form as Go's own writer makes it: name, value, ...; a value that begins with
// "@" is a file.
func multipartOf(t testing.TB, fields ...string) (body, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		field, err := io.Writer(nil), error(nil)
		value, isFile := strings.CutPrefix(fields[i+1], "@")
		if isFile {
			field, err = w.CreateFormFile(fields[i], "recording.wav")
		} else {
			field, err = w.CreateFormField(fields[i])
		}
		if err == nil {
			_, err = io.WriteString(field, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

// riff is a recording, as far as this package looks at it.
const riff = "RIFF\x00\x00\x00\x00WAVEhello"

func TestEmbeddings(t *testing.T) {
	s := openAIServer(t)
	for body, want := range map[string]string{
		`{"model":"vectors","input":"2"}`:                                                     `[[2,4,6]] 1`,
		`{"model":"vectors","input":["2"]}`:                                                   `[[2,4,6]] 1`,
		`{"input":["-1","0.5"],"model":"vectors","user":"u","encoding_format":"float"}`:       `[[-1,-2,-3],[0.5,1,1.5]] 2`,
		`{"model":"vectors","input":["1"],"dimensions":3,"user":null,"encoding_format":null}`: `[[1,2,3]] 1`,
		` { "\u006dodel" : "vec\u0074ors" , "input" : [ "1" ] } `:                             `[[1,2,3]] 1`,
		`{"model":"sha256:` + hexOf(vectors()) + `","input":"3"}`:                             `[[3,6,9]] 1`,
	} {
		w := decide(t, s, "clinic", "/v1/embeddings", body, "Content-Type", "application/json")
		var got struct {
			Object, Model string
			Data          []struct {
				Object    string
				Index     int
				Embedding []float64
			}
			Usage map[string]int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Errorf("%s: %d %v %s", body, w.Code, err, w.Body)
			continue
		}
		var all [][]float64
		for i, d := range got.Data {
			if all = append(all, d.Embedding); d.Object != "embedding" || d.Index != i {
				t.Errorf("%s: %+v at %d", body, d, i)
			}
		}
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		if said := fmt.Sprintf("%s %d", text, got.Usage["prompt_tokens"]); said != want || got.Usage["total_tokens"] != got.Usage["prompt_tokens"] || got.Object != "list" || got.Model != "vectors" {
			t.Errorf("%s: %s %+v, expected %s", body, said, got, want)
		}
	}
}

// TestEmbeddingsInBase64: the form that OpenAI's Python client asks for by itself.
func TestEmbeddingsInBase64(t *testing.T) {
	w := decide(t, openAIServer(t), "", "/v1/embeddings", `{"model":"vectors","input":["2","0.25"],"encoding_format":"base64"}`)
	var got struct{ Data []struct{ Embedding string } }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Data) != 2 {
		t.Fatalf("%v %s", err, w.Body)
	}
	raw, err := base64.StdEncoding.DecodeString(got.Data[1].Embedding)
	if err != nil || len(raw) != 12 {
		t.Fatalf("%v %d", err, len(raw))
	}
	for i, want := range []float32{0.25, 0.5, 0.75} {
		if v := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])); v != want {
			t.Errorf("%d: %v, expected %v", i, v, want)
		}
	}
}

// wantOpenAI checks an error in OpenAI's form.
func wantOpenAI(t testing.TB, w *httptest.ResponseRecorder, status int, text, typ, param, code string) {
	t.Helper()
	var got struct {
		Error *struct{ Message, Type, Param, Code *string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Error == nil || w.Code != status {
		t.Errorf("%d %v %.300s, expected %d with %q", w.Code, err, w.Body, status, text)
		return
	}
	said := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	if e := got.Error; !strings.Contains(said(e.Message), text) || said(e.Type) != typ || said(e.Param) != param || said(e.Code) != code {
		t.Errorf("%.300s, expected %q of the type %s, param %q, code %q", w.Body, text, typ, param, code)
	}
}

func TestEmbeddingsRefused(t *testing.T) {
	const invalid = "invalid_request_error"
	s := openAIServer(t)
	for _, c := range []struct {
		body        string
		status      int
		text, param string
		code        string
	}{
		{`{"model":"vectors"}`, 400, "there is no input", "input", ""},
		{`{"model":"vectors","input":[]}`, 400, "empty", "input", ""},
		{`{"model":"vectors","input":""}`, 400, "text 0 is empty", "input", ""},
		{`{"model":"vectors","input":["1",""]}`, 400, "text 1 is empty", "input", ""},
		{`{"model":"vectors","input":[1,2]}`, 400, "ids of tokens", "input", ""},
		{`{"model":"vectors","input":[[1,2],[3]]}`, 400, "ids of tokens", "input", ""},
		{`{"model":"vectors","input":["1",2]}`, 400, "ids of tokens", "input", ""},
		{`{"model":"vectors","input":null}`, 400, "wrong at byte", "", ""},
		{`{"model":"vectors","input":["1",null]}`, 400, "wrong at byte", "", ""},
		{`{"model":"vectors","input":[` + strings.Repeat(`"1",`, 2048) + `"1"]}`, 400, "more than 2048", "input", ""},
		{`{"model":"vectors","input":"1","encoding_format":"int8"}`, 400, "expected float or base64", "encoding_format", ""},
		{`{"model":"vectors","input":"1","encoding_format":1}`, 400, "wrong at byte", "", ""},
		{`{"model":"vectors","input":"1","dimensions":2}`, 400, "makes 3", "dimensions", ""},
		{`{"model":"vectors","input":"1","dimensions":0}`, 400, "from 1", "dimensions", ""},
		{`{"model":"vectors","input":"1","dimensions":1.5}`, 400, "wrong at byte", "", ""},
		{`{"model":"none","input":"1"}`, 404, `no model "none"`, "model", "model_not_found"},
		{`{"model":"tumour","input":"1"}`, 400, "does not make embeddings", "model", ""},
		{`{"model":"heard","input":"1"}`, 400, "does not make embeddings", "model", ""},
		{`{"model":"vectors","input":"no number"}`, 400, "", "", ""},
		{`{"model":"vectors","input":"NaN"}`, 422, "no numbers", "", ""},
	} {
		wantOpenAI(t, decide(t, s, "clinic", "/v1/embeddings", c.body), c.status, c.text, invalid, c.param, c.code)
	}
	wantOpenAI(t, as(t, s, "", "GET", "/v1/embeddings", nil), 405, "method must be POST", invalid, "", "")
	wantOpenAI(t, as(t, s, "", "POST", "/v1/chat/completions", nil), 404, "/v1/embeddings", invalid, "", "")
	wantOpenAI(t, decide(t, openAIServer(t, WithBodyLimit(64)), "", "/v1/embeddings", `{"model":"vectors","input":"`+strings.Repeat("1", 64)+`"}`), 413, "larger than 64", invalid, "", "")
	wantOpenAI(t, decide(t, openAIServer(t, WithAnswerLimit(64)), "", "/v1/embeddings", `{"model":"vectors","input":"1"}`), 400, "the answer is larger", invalid, "", "")
	if f := (&failure{status: 429, text: "later"}).openAI(); !strings.Contains(string(f.body), `"type":"rate_limit_error"`) || !strings.Contains(string(f.body), `"code":"rate_limit_exceeded"`) {
		t.Errorf("%s", f.body)
	}
	if f := (&failure{status: 503, text: "later"}).openAI(); !strings.Contains(string(f.body), `"type":"server_error"`) {
		t.Errorf("%s", f.body)
	}
}

// TestModelInBody: whatever a body could be read as, it names one model or none, and
// what answers is this model.
func TestModelInBody(t *testing.T) {
	const path = "/v1/embeddings"
	s := openAIServer(t)
	good := `{"model":"vectors","input":"1"}`
	for _, c := range []struct {
		body   string
		header []string
		want   string
	}{
		{good, nil, ""},
		{good, []string{"Content-Type", "application/json; charset=UTF-8"}, ""},
		{good + "\n ", []string{"Content-Encoding", "identity"}, ""},
		// Readers differ in which of two they take.
		{`{"model":"vectors","model":"tumour","input":"1"}`, nil, "wrong at byte"},
		{`{"model":"vectors","\u006dodel":"tumour","input":"1"}`, nil, "wrong at byte"},
		{`{"model":"vectors","model":"vectors","input":"1"}`, nil, "wrong at byte"},
		// encoding/json takes these for the same.
		{`{"Model":"vectors","input":"1"}`, nil, "another member"},
		{`{"model":"vectors","MODEL":"tumour","input":"1"}`, nil, "another member"},
		{`{"model":"vectors","mode\u013f":"tumour","input":"1"}`, nil, "another member"},
		{`{"model":"vectors","model\u0000":"tumour","input":"1"}`, nil, "another member"},
		{`{"model":"vectors","input":"1","extra_body":{"model":"tumour"}}`, nil, "another member"},
		{`{"model":"vectors","input":[{"model":"tumour"}]}`, nil, "wrong at byte"},
		{`{"model":["vectors"],"input":"1"}`, nil, "wrong at byte"},
		{`{"model":null,"input":"1"}`, nil, "wrong at byte"},
		{`{"input":"1"}`, nil, `no member "model"`},
		{`{}`, nil, `no member "model"`},
		{``, nil, "wrong at byte 0"},
		{`[` + good + `]`, nil, "wrong at byte 0"},
		{good + good, nil, "wrong at byte"},
		{good + "\x00", nil, "wrong at byte"},
		{"\xef\xbb\xbf" + good, nil, "wrong at byte 0"},
		{"\xff\xfe" + good, nil, "wrong at byte 0"},
		{`{"model":"vectors","input":"` + "\xc0\xae" + `"}`, nil, "wrong at byte"},
		{`{"model":"vec\ud800tors","input":"1"}`, nil, "wrong at byte"},
		{`{"model":"vectors","input":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`, nil, "wrong at byte"},
		// What is no name goes into no header.
		{`{"model":"","input":"1"}`, nil, "called otherwise"},
		{`{"model":"vectors\r\nBlindbox-Caller: acme","input":"1"}`, nil, "called otherwise"},
		{`{"model":"../vectors","input":"1"}`, nil, "called otherwise"},
		{`{"model":"v\u00e9ctors","input":"1"}`, nil, "called otherwise"},
		{`{"model":"vectors\n","input":"1"}`, nil, "called otherwise"},
		{`{"model":"` + strings.Repeat("v", 257) + `","input":"1"}`, nil, "called otherwise"},
		// Another type could mean another reader.
		{good, []string{"Content-Type", "text/plain"}, "another type"},
		{good, []string{"Content-Type", "application/x-www-form-urlencoded"}, "another type"},
		{good, []string{"Content-Type", "multipart/form-data; boundary=x"}, "another type"},
		{good, []string{"Content-Type", "application/json; charset=utf-16"}, "another type"},
		{good, []string{"Content-Type", "application/json", "Content-Type", "application/json"}, "not one Content-Type"},
		{good, []string{"Content-Type", "application/json;"}, ""},
		{good, []string{"Content-Type", "a b"}, "not one Content-Type"},
		{good, []string{"Content-Encoding", "gzip"}, "compressed"},
		{good, []string{"Content-Encoding", "identity", "Content-Encoding", "br"}, "compressed"},
	} {
		w := decide(t, s, "clinic", path, c.body, c.header...)
		if c.want == "" {
			want(t, w, 200, `"model":"vectors"`)
			continue
		}
		if want(t, w, 400, c.want); !strings.Contains(w.Body.String(), "ingress: ") && !strings.Contains(c.body, `{"model":"tumour"}]`) {
			t.Errorf("%.80s %q: a model is named", c.body, c.header)
		}
		// Nobody who comes around the ingress with it gets an answer.
		if w := as(t, s, "clinic", "POST", path, strings.NewReader(c.body), append(c.header, ModelHeader, "vectors", ModelIDHeader, "sha256:"+hexOf(vectors()))...); w.Code < 400 && len(c.header) < 4 {
			t.Errorf("%.80s %q: the server answers %d", c.body, c.header, w.Code)
		}
	}
}

// TestDecidedInBody: what was decided about is what answers, also if the body is another
// one by then, or the name leads elsewhere.
func TestDecidedInBody(t *testing.T) {
	s := openAIServer(t)
	id := "sha256:" + hexOf(vectors())
	body := func() io.Reader { return strings.NewReader(`{"model":"vectors","input":"1"}`) }
	want(t, as(t, s, "clinic", "POST", "/v1/embeddings", body(), ModelHeader, "vectors", ModelIDHeader, id), 200, `"model":"vectors"`)
	want(t, as(t, s, "clinic", "POST", "/v1/embeddings", body(), ModelHeader, "heard", ModelIDHeader, "sha256:"+hexOf(heard())), 409, "another model")
	want(t, as(t, s, "clinic", "POST", "/v1/embeddings", body(), ModelHeader, "vectors"), 409, "another model")
	want(t, as(t, s, "clinic", "POST", "/v1/embeddings", body(), ModelIDHeader, id), 500, "internal error")
	want(t, as(t, s, "clinic", "POST", "/v1/embeddings", body()), 500, "internal error")
	want(t, as(t, s, "acme", "POST", "/v2/repository/uploads?name=vectors", bytes.NewReader(vectors())), 201, `"name"`)
	if name, got, err := s.Model("acme", httptest.NewRequest("POST", "/v1/embeddings", nil), []byte(`{"model":"vectors"}`)); name != "acme~vectors" || got.String() != id || err != nil {
		t.Errorf("%q %v %v", name, got, err)
	}
	want(t, as(t, s, "acme", "POST", "/v1/embeddings", body(), ModelHeader, "vectors", ModelIDHeader, id), 409, "another model")
	want(t, as(t, s, "acme", "POST", "/v1/embeddings", body(), ModelHeader, "acme~vectors", ModelIDHeader, id), 200, `"model":"vectors"`)
	if name, _, err := s.Model("clinic", httptest.NewRequest("POST", "/v1/embeddings", nil), []byte(`{"model":"acme~vectors"}`)); name != "acme~vectors" || err != nil {
		t.Errorf("%q %v", name, err)
	}
	for path, in := range map[string]bool{
		"POST /v1/embeddings": true, "POST /v1/embeddings/": true, "POST /v1/audio/transcriptions": true, "GET /v1/embeddings": false, "PUT /v1/embeddings": false,
		"POST /v1/embedding": false, "POST /v2/embeddings": false, "POST /v1/audio/translations": false, "POST /v1/embeddings/x": false, "POST /v2/models/m/infer": false,
	} {
		method, path, _ := strings.Cut(path, " ")
		if got := InBody(httptest.NewRequest(method, path, nil)); got != in {
			t.Errorf("%s %s: in its body %v", method, path, got)
		}
	}
}

func TestOpenAIModels(t *testing.T) {
	s := openAIServer(t)
	want(t, as(t, s, "acme", "POST", "/v2/repository/uploads?name=mine", bytes.NewReader(vectors())), 201, `"name"`)
	for caller, model := range map[string]string{"clinic": "vectors", "acme": "mine"} {
		w := as(t, s, caller, "GET", "/v1/models/"+model, nil)
		var got openAIEntry
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.ID != model || got.Object != "model" || (got.OwnedBy == "blindbox") == (caller == "acme") || (got.Created > 0) != (caller == "acme") {
			t.Errorf("%v %s", err, w.Body)
		}
	}
	wantOpenAI(t, as(t, s, "clinic", "GET", "/v1/models/acme~mine", nil), 404, "no model", "invalid_request_error", "model", "model_not_found")
	wantOpenAI(t, as(t, s, "acme", "POST", "/v1/models", nil), 405, "method must be GET or HEAD", "invalid_request_error", "", "")
	wantOpenAI(t, as(t, s, "acme", "DELETE", "/v1/models/mine", nil), 405, "method", "invalid_request_error", "", "")
	want(t, as(t, s, "acme", "GET", "/v1/models/mine", nil, ModelHeader, "acme~other", ModelIDHeader, "x"), 409, "another model")
	if name, _, err := s.Model("acme", httptest.NewRequest("GET", "/v1/models/mine", nil), nil); name != "acme~mine" || err != nil {
		t.Errorf("decided about as %q %v", name, err)
	}
}

// TestShownModels: no list has a model that is not shown to who asks for it.
func TestShownModels(t *testing.T) {
	s := openAIServer(t, WithShown(func(list *http.Request, model string) bool {
		return list.Header.Get(CallerHeader) == "acme" || model == "heard"
	}))
	want(t, as(t, s, "acme", "POST", "/v2/repository/uploads?name=ours&visibility=shared", bytes.NewReader(scale(2))), 201, `"name"`)
	for _, at := range []string{"GET /v2/models", "POST /v2/repository/index", "GET /v1/models"} {
		method, path, _ := strings.Cut(at, " ")
		if body := as(t, s, "clinic", method, path, nil).Body.String(); !strings.Contains(body, `"heard"`) || strings.Contains(body, "vectors") || strings.Contains(body, "ours") {
			t.Errorf("%s: %s", at, body)
		}
		if body := as(t, s, "acme", method, path, nil).Body.String(); !strings.Contains(body, "vectors") || !strings.Contains(body, "ours") {
			t.Errorf("%s: %s", at, body)
		}
	}
}

// TestModelNamedAgain: what a body of the other protocol says about its model is what the
// path says, which was decided about.
func TestModelNamedAgain(t *testing.T) {
	s := openAIServer(t)
	for name, status := range map[string]int{`"vectors"`: 200, `"sha256:` + hexOf(vectors()) + `"`: 400, `"heard"`: 400, `""`: 400, `null`: 400, `"vectors","model_name":"vectors"`: 400} {
		body := `{"model_name":` + name + `,"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","data":["1"]}]}`
		if w := as(t, s, "clinic", "POST", "/v2/models/vectors/infer", strings.NewReader(body)); w.Code != status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
