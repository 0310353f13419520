package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/blindbox/blindbox/examples/triage"
	"github.com/blindbox/blindbox/model/bundle"
	"github.com/blindbox/blindbox/model/schedule"
	"github.com/blindbox/blindbox/onnx"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// files of a bundle, by name.
type files map[string]string

// triaged are the files of the example, changed.
func triaged(t testing.TB, change files) files {
	t.Helper()
	f := files{}
	names, err := fs.Glob(triage.Folder(), "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(triage.Folder(), name)
		if err != nil {
			t.Fatal(err)
		}
		f[name] = string(data)
	}
	maps.Copy(f, change)
	return f
}

func (f files) pack(t testing.TB) []byte {
	t.Helper()
	folder := fstest.MapFS{}
	for name, data := range f {
		folder[name] = &fstest.MapFile{Data: []byte(data)}
	}
	p, err := bundle.Pack(folder, slices.Collect(maps.Keys(f)), bundle.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	data, err := io.ReadAll(io.NewSectionReader(p, 0, p.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sum(data string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(data))) }

const asText = `{"inputs":[{"name":"text","shape":[2],"datatype":"BYTES","data":["Severe chest PAIN!","a refund for the invoice"]}],"outputs":[{"name":"label"}]}`

const labelled = `{"name":"label","datatype":"BYTES","shape":[2,2],"data":["emergency",`

// TestPipeline: a bundle is described by what people have and want, and answers so.
func TestPipeline(t *testing.T) {
	f := triaged(t, nil)
	data := f.pack(t)
	h, err := NewServer([]Loaded{mustLoad(t, "triage", data)})
	if err != nil {
		t.Fatal(err)
	}
	_, answer, _ := call(t, h, "GET", "/v2/models/triage", "")
	parameters, _ := answer["parameters"].(map[string]any)
	if answer["platform"] != "blindbox_pipeline" || parameters["sha256"] != sum(string(data)) || len(parameters) != 1+len(f) {
		t.Errorf("%v", answer)
	}
	for name, text := range f {
		if parameters["sha256/"+name] != sum(text) {
			t.Errorf("%s: %v", name, parameters["sha256/"+name])
		}
	}
	if in := fmt.Sprint(answer["inputs"]); in != "[map[datatype:BYTES name:text shape:[-1]]]" {
		t.Error(in)
	}
	if out := fmt.Sprint(answer["outputs"]); !strings.HasPrefix(out, "[map[datatype:BYTES name:label shape:[-1 2]] map[datatype:FP32 name:score shape:[-1 2]]") {
		t.Error(out)
	}
	if status, answer, _ := call(t, h, "POST", "/v2/models/triage/infer", asText); status != 200 || !strings.Contains(fmt.Sprint(answer["outputs"]), "data:[emergency ") ||
		!strings.Contains(fmt.Sprint(answer["outputs"]), " billing ") {
		t.Errorf("%d %v", status, answer)
	}
}

// TestPipelineInBytes: texts, and so pictures, come as bytes behind the JSON, of several
// megabytes too.
func TestPipelineInBytes(t *testing.T) {
	h, err := NewServer([]Loaded{mustLoad(t, "triage", triaged(t, nil).pack(t)), mustLoad(t, "echo", echo())})
	if err != nil {
		t.Fatal(err)
	}
	send := func(model, head string, elements ...string) *httptest.ResponseRecorder {
		var b []byte
		for _, e := range elements {
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(e))), e...)
		}
		head = strings.Replace(head, "SIZE", strconv.Itoa(len(b)), 1)
		r := httptest.NewRequest("POST", "/v2/models/"+model+"/infer", io.MultiReader(strings.NewReader(head), bytes.NewReader(b)))
		r.Header.Set(headerLength, strconv.Itoa(len(head)))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const one = `{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":SIZE}}],"outputs":[{"name":"label"}]}`
	want(t, send("triage", one, "my chest"), 200, `"data":["emergency"`)
	want(t, send("triage", one, "my chest\xff"), 400, `input "text", element 0: `)
	large := strings.Repeat("\xff\x00JPEG", 1<<20)
	const image = `{"inputs":[{"name":"s","shape":[],"datatype":"BYTES","parameters":{"binary_data_size":SIZE}},{"name":"f","shape":[0,2],"datatype":"FP32","data":[]},
		{"name":"i","shape":[0],"datatype":"INT64","data":[]},{"name":"b","shape":[0],"datatype":"BOOL","data":[]}],"outputs":[{"name":"os","parameters":{"binary_data":true}}]}`
	if w := send("echo", image, large); w.Code != 200 || !strings.HasSuffix(w.Body.String(), large) {
		t.Errorf("%d %.200s", w.Code, w.Body)
	}
	text := strings.Repeat("chest ", 1<<19)
	quoted := strings.Replace(asText, "Severe", text, 1)
	if status, answer, _ := call(t, h, "POST", "/v2/models/triage/infer", quoted); status != 400 || !strings.Contains(answer["error"].(string), `input "text", element 0: `) {
		t.Errorf("%d %.200v", status, answer)
	}
}

// TestPipelineIsAModelLikeOthers: uploaded, sealed, loaded again, counted, deleted.
func TestPipelineIsAModelLikeOthers(t *testing.T) {
	for _, disk := range []bool{false, true} {
		s := repository(t, disk, nil)
		data := triaged(t, nil).pack(t)
		infer := func(status int, text string) {
			t.Helper()
			want(t, as(t, s, "clinic", "POST", "/v2/models/triage/infer", strings.NewReader(asText)), status, text)
		}
		w := as(t, s, "clinic", "POST", "/v2/repository/uploads?name=triage&optimize=false", bytes.NewReader(data), reprDigest, digest(data))
		var c card
		if err := json.Unmarshal(w.Body.Bytes(), &c); err != nil || w.Code != 201 {
			t.Fatalf("%d %s %v", w.Code, w.Body, err)
		}
		model := len(triaged(t, nil)["triage.onnx"])
		if c.ID != "sha256:"+sum(string(data)) || c.Size != int64(len(data)) || c.Memory <= int64(model) || c.Optimize {
			t.Errorf("%+v", c)
		}
		infer(200, labelled)
		want(t, as(t, s, "clinic", "GET", "/v2/models/triage", nil), 200, `"sha256/labels.txt":"`+sum("emergency\nappointment\nbilling\n"))
		if disk {
			want(t, as(t, s, "clinic", "POST", "/v2/repository/models/triage/unload", nil), 200, `"loaded":false`)
			infer(200, labelled)
		}
		if w := as(t, s, "clinic", "DELETE", "/v2/repository/models/triage", nil); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		infer(404, `no model "triage"`)
	}
}

// TestBundlesThatAreNone: each is refused with what was seen and what was expected.
func TestBundlesThatAreNone(t *testing.T) {
	s := repository(t, false, nil)
	without := func(name string) []byte {
		f := triaged(t, nil)
		delete(f, name)
		return f.pack(t)
	}
	whole := triaged(t, nil).pack(t)
	link := bytes.Clone(whole)
	link[156] = '2'
	for text, data := range map[string][]byte{
		"pipeline.yaml names labels.txt, which is not in the bundle":          without("labels.txt"),
		"pipeline.yaml names triage.onnx, which is not in the bundle":         without("triage.onnx"),
		"more.txt: is not named in pipeline.yaml: leave it out of the bundle": triaged(t, files{"more.txt": ""}).pack(t),
		"more.onnx: is not named in pipeline.yaml":                            triaged(t, files{"more.onnx": "no model"}).pack(t),
		"triage.onnx: onnx: ": triaged(t, files{"triage.onnx": "no model"}).pack(t),
		"triage.onnx: onnx: node 0 (Nothing): operator is not supported": triaged(t, files{"triage.onnx": string(nothing())}).pack(t),
		`pipeline.yaml: 2:1: model: the key "model" again, first at 1:1`: triaged(t, files{"pipeline.yaml": "model: triage.onnx\nmodel: x.onnx\n"}).pack(t),
		"labels.txt": triaged(t, files{"labels.txt": "emergency\n"}).pack(t),
		"entry 1: a symbolic link, expected a plain file":                      link,
		"pipeline.yaml: triage.onnx cannot take what input and output promise": triaged(t, files{"triage.onnx": string(tooFew())}).pack(t),
		"bundle: bytes follow its end":                                         append(bytes.Clone(whole), 0),
		"bundle: ends early, in triage.onnx":                                   whole[:len(whole)-1024-10],
		"bundle: ends early, in its end":                                       whole[:len(whole)-1],
	} {
		want(t, as(t, s, "clinic", "POST", "/v2/repository/uploads?name=triage", bytes.NewReader(data)), 422, text)
		if _, err := Load("triage", data); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, expected %s", err, text)
		}
		if _, err := LoadFrom("triage", [32]byte{1}, bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), sum(string(data))) {
			t.Errorf("%v, expected the digest", err)
		}
	}
}

func nothing() []byte {
	return pb.Model(pb.Input("x", 1, "k"), pb.Node("", "Nothing", []string{"x"}, []string{"y"}), pb.OpenOutput("y", 1))
}

// tooFew is the example's model with weights for two words.
func tooFew() []byte {
	return pb.Model(pb.Input("input_ids", 7, "texts", "words"), pb.Initializer(pb.Floats("weights", []int64{2, 3}, 1, 2, 3, 4, 5, 6)),
		pb.Node("", "Gather", []string{"weights", "input_ids"}, []string{"each"}), pb.Initializer(pb.Ints("axis", []int64{1}, 1)),
		pb.Node("", "ReduceSum", []string{"each", "axis"}, []string{"logits"}, pb.AttrInt("keepdims", 0)), pb.Output("logits", 1, "texts", 3))
}

// TestReadingFails: an error of who gives the file stays what it is, and ends the load.
func TestReadingFails(t *testing.T) {
	fails := errors.New("the disk is gone")
	for _, data := range [][]byte{triaged(t, nil).pack(t), scale(3)} {
		for n := 0; n <= len(data); n += 100 {
			if _, err := readFile(&failing{data[:n], fails}, onnx.DefaultLimits()); !errors.Is(err, fails) {
				t.Errorf("after %d bytes: %v", n, err)
			}
		}
	}
}

type failing struct {
	data []byte
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if len(f.data) == 0 {
		return 0, f.err
	}
	n := copy(p, f.data)
	f.data = f.data[n:]
	return n, nil
}

// TestPipelineMemory: each run of a model takes its memory from the request's share,
// and the answer of one is given back when the next is asked.
func TestPipelineMemory(t *testing.T) {
	m := mustLoad(t, "triage", triaged(t, nil).pack(t))
	budget := onnx.NewBudget(1 << 12)
	text := make([]string, 500) // whose answers together do not fit
	for i := range text {
		text[i] = strings.Repeat("chest ", 20)
	}
	share := budget.Share()
	if _, err := m.ready.run(t.Context(), map[string]*tensor.Tensor{"text": tensor.List(text...)}, share, atOnce); err != nil {
		t.Error(err)
	}
	share.Release()
	long := map[string]*tensor.Tensor{"text": tensor.List(strings.Repeat("chest ", 250))}
	if _, err := m.ready.run(t.Context(), long, onnx.NewBudget(64).Share(), atOnce); !errors.Is(err, onnx.ErrLimit) {
		t.Error(err)
	}
	h, err := NewServer([]Loaded{m}, WithMemory(64))
	if err != nil {
		t.Fatal(err)
	}
	status, answer, _ := call(t, h, "POST", "/v2/models/triage/infer", asText)
	wantFailure(t, status, answer, http.StatusBadRequest, "at most 64 in all runs together")
}

// TestPipelineEnds: a run ends with its request.
func TestPipelineEnds(t *testing.T) {
	m := mustLoad(t, "triage", triaged(t, nil).pack(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.ready.run(ctx, map[string]*tensor.Tensor{"text": tensor.List("chest")}, onnx.NewBudget(1<<20).Share(), atOnce); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestPipelineFailsInside: what no pipeline does is that request's error, and says
// nothing of it.
func TestPipelineFailsInside(t *testing.T) {
	m := mustLoad(t, "triage", triaged(t, nil).pack(t))
	m.ready.asked.(*piped).Pipeline = nil
	text := map[string]*tensor.Tensor{"text": tensor.List("chest")}
	if _, err := m.ready.run(t.Context(), text, onnx.NewBudget(1<<20).Share(), atOnce); err == nil || !strings.Contains(err.Error(), "failed inside") || strings.Contains(err.Error(), "chest") {
		t.Error(err)
	}
	h, err := NewServer([]Loaded{m})
	if err != nil {
		t.Fatal(err)
	}
	status, answer, _ := call(t, h, "POST", "/v2/models/triage/infer", asText)
	wantFailure(t, status, answer, http.StatusInternalServerError, "internal error")
}

// TestLoadGivesUpItsTurn: who does not wait any more has no turn.
func TestLoadGivesUpItsTurn(t *testing.T) {
	runs, err := schedule.New(2, schedule.Limits{Queue: 4, Caller: 4})
	if err != nil {
		t.Fatal(err)
	}
	release, err := runs.Background(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	l := &loader{onnx.DefaultLimits(), runs, onnx.NewBudget(1 << 20)}
	if m, err := l.Load(ctx, "", bytes.NewReader(scale(3))); m != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", m, err)
	}
	release()
	if m, err := l.Load(t.Context(), "", bytes.NewReader(scale(3))); m == nil || err != nil {
		t.Errorf("%v, %v", m, err)
	}
}

// FuzzLoad: no pipeline, tokenizer, labels or model make loading or a run panic, and what
// is loaded answers or says why not.
func FuzzLoad(f *testing.F) {
	whole := triaged(f, nil)
	f.Add(whole["pipeline.yaml"], whole["tokenizer.json"], whole["labels.txt"], []byte(whole["triage.onnx"]), "chest pain")
	f.Add("model: triage.onnx\ninput: {text: {tokenizer: tokenizer.json, length: 1}}\noutput: [{pool: mean}]\n", whole["tokenizer.json"], "", []byte(whole["triage.onnx"]), "")
	f.Fuzz(func(t *testing.T, document, tokenizer, labels string, model []byte, text string) {
		changed := files{"pipeline.yaml": document, "tokenizer.json": tokenizer, "labels.txt": labels, "triage.onnx": string(model)}
		if len(document) > 64<<10 {
			return
		}
		m, err := LoadFrom("fuzz", [32]byte{}, bytes.NewReader(changed.pack(t)))
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = m.ready.run(ctx, map[string]*tensor.Tensor{"text": tensor.List(text)}, onnx.NewBudget(1<<20).Share(), atOnce)
		if err != nil && strings.Contains(err.Error(), "failed inside") {
			t.Fatal(err)
		}
	})
}
