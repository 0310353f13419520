package model

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/examples/tumour"
	"github.com/blindbox/blindbox/internal/longer"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// echo is a model that gives back one input of each type, and a row sum.
func echo() []byte {
	identity := func(in, out string) []byte { return pb.Node("", "Identity", []string{in}, []string{out}) }
	return pb.Model(
		pb.Input("f", 1, "n", 2), pb.Input("i", 7, "k"), pb.Input("b", 9, "k"), pb.Input("s", 8),
		identity("f", "of"), identity("i", "oi"), identity("b", "ob"), identity("s", "os"),
		pb.Output("of", 1, "n", 2), pb.Output("oi", 7, "k"), pb.Output("ob", 9, "k"), pb.Output("os", 8))
}

// slow multiplies a square matrix by itself 200 times: with 400 rows, for a good while.
func slow() []byte {
	graph := pb.Input("x", 1, "n", "n")
	last := "x"
	for i := range 200 {
		next := fmt.Sprint("v", i)
		graph = append(graph, pb.Node("", "MatMul", []string{last, "x"}, []string{next})...)
		last = next
	}
	return pb.Model(graph, pb.OpenOutput(last, 1))
}

func mustLoad(t testing.TB, name string, data []byte) Loaded {
	t.Helper()
	m, err := Load(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func handler(t testing.TB, opts ...Option) http.Handler {
	t.Helper()
	demo := mustLoad(t, "tumour", tumour.Model())
	demo.Labels = tumour.Labels()
	h, err := NewServer([]Loaded{demo, mustLoad(t, "echo", echo()), mustLoad(t, "slow", slow())}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// call sends one request and returns status and answer. Every answer is JSON.
func call(t testing.TB, h http.Handler, method, path, body string, header ...string) (int, map[string]any, http.Header) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("%s %s: content type %q", method, path, got)
	}
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s %s: %v in %q", method, path, err, w.Body)
	}
	return w.Code, answer, w.Header()
}

func wantFailure(t testing.TB, status int, answer map[string]any, wantStatus int, want string) {
	t.Helper()
	text, ok := answer["error"].(string)
	if status != wantStatus || !ok || len(answer) != 1 || !strings.Contains(text, want) {
		t.Errorf("got %d %v, want %d with error %q", status, answer, wantStatus, want)
	}
}

func TestServerAndModelDescriptions(t *testing.T) {
	h := handler(t)
	for path, want := range map[string]string{
		"/v2/health/live":                    `{"live":true}`,
		"/v2/health/ready":                   `{"ready":true}`,
		"/v2/models/echo/ready":              `{"name":"echo","ready":true}`,
		"/v2/models/tumour":                  tumourMetadata,
		"/v2/models/tumour/":                 tumourMetadata,
		"/v2/models/tumour/versions/1":       tumourMetadata,
		"/v2/models/tumour/versions/1/ready": `{"name":"tumour","ready":true}`,
	} {
		status, answer, _ := call(t, h, "GET", path, "")
		var expected map[string]any
		if err := json.Unmarshal([]byte(want), &expected); err != nil {
			t.Fatal(err)
		}
		if status != 200 || fmt.Sprint(answer) != fmt.Sprint(expected) {
			t.Errorf("%s: got %d %v, want %v", path, status, answer, expected)
		}
	}
	for _, path := range []string{"/v2", "/v2/"} {
		status, answer, _ := call(t, h, "GET", path, "")
		if status != 200 || answer["name"] != "blindbox" || answer["version"] == "" || !slices.Equal(answer["extensions"].([]any), []any{"binary_tensor_data", "model_repository"}) {
			t.Errorf("%s: %d %v", path, status, answer)
		}
	}
}

const tumourMetadata = `{"name":"tumour","versions":["1"],"platform":"onnx_onnxv1",
	"inputs":[{"name":"features","datatype":"FP32","shape":[-1,30]}],
	"outputs":[{"name":"probabilities","datatype":"FP32","shape":[-1,2]},{"name":"label","datatype":"INT64","shape":[-1]}],
	"parameters":{"labels":"malignant,benign","sha256":"` + tumour.SHA256 + `"}}`

func TestPathsAndMethods(t *testing.T) {
	h := handler(t)
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/", 404, "begin with /v2"},
		{"GET", "/v3/models", 404, "begin with /v2"},
		{"POST", "/v2/repository/uploads", 404, "callers bring no models"},
		{"DELETE", "/v2/repository/models/echo", 404, "callers bring no models"},
		{"DELETE", "/v2/repository/index", 405, "method must be GET or POST"},
		{"GET", "/v2/other", 404, "no such path"},
		{"GET", "/v2/health", 404, "no such path"},
		{"POST", "/v2/models", 405, "method must be GET or HEAD"},
		{"GET", "/v2/models/none", 404, `no model "none"`},
		{"POST", "/v2/models/none/infer", 404, `no model "none"`},
		{"GET", "/v2/models/ECHO", 404, `no model "ECHO"`},
		{"GET", "/v2/models/echo/other", 404, "no such path"},
		{"GET", "/v2/models/echo/versions/2", 404, `no model "echo" version 2`},
		{"GET", "/v2/models/echo/versions/01", 404, `version "01", expected a number from 1`},
		{"GET", "/v2/models/echo/versions", 404, "no such path"},
		{"GET", "/v2/models/../health/live", 404, "no"},
		{"POST", "/v2", 405, "method must be GET or HEAD"},
		{"DELETE", "/v2/models/echo", 405, "method must be GET or HEAD"},
		{"GET", "/v2/models/echo/infer", 405, "method must be POST"},
	} {
		status, answer, header := call(t, h, c.method, c.path, "")
		wantFailure(t, status, answer, c.status, c.want)
		if (c.status == 405) != (header.Get("Allow") != "") {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, header.Get("Allow"))
		}
	}
}

func TestSampleRecord(t *testing.T) {
	request, label := tumour.Sample()
	status, answer, _ := call(t, handler(t), "POST", "/v2/models/tumour/infer", string(request))
	if status != 200 || answer["model_name"] != "tumour" || answer["model_version"] != "1" || answer["id"] != "record-167" {
		t.Fatalf("%d %v", status, answer)
	}
	outputs := answer["outputs"].([]any)
	p, l := outputs[0].(map[string]any), outputs[1].(map[string]any)
	if p["name"] != "probabilities" || fmt.Sprint(p["shape"]) != "[1 2]" || p["datatype"] != "FP32" || len(p["data"].([]any)) != 2 {
		t.Errorf("%v", p)
	}
	index := int(l["data"].([]any)[0].(float64))
	if l["datatype"] != "INT64" || fmt.Sprint(l["shape"]) != "[1]" || tumour.Labels()[index] != label {
		t.Errorf("%v, want %s", l, label)
	}
}

// good is a request to echo with one part replaced.
func good(old, new string) string {
	const request = `{"id":"7","inputs":[
		{"name":"f","shape":[2,2],"datatype":"FP32","data":[1,-2.5,3e1,0.1]},
		{"data":[9223372036854775807,-1],"name":"i","shape":[2],"datatype":"INT64"},
		{"name":"b","shape":[2],"datatype":"BOOL","data":[true,false]},
		{"name":"s","shape":[],"datatype":"BYTES","data":["a\u00e9<\n"]}]}`
	if !strings.Contains(request, old) {
		panic("the request has no " + old)
	}
	return strings.Replace(request, old, new, 1)
}

func TestEveryDatatypeGoesThrough(t *testing.T) {
	h := handler(t)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/v2/models/echo/infer", strings.NewReader(good("", ""))))
	want := `{"model_name":"echo","model_version":"1","id":"7","outputs":[` +
		`{"name":"of","datatype":"FP32","shape":[2,2],"data":[1,-2.5,30,0.1]},` +
		`{"name":"oi","datatype":"INT64","shape":[2],"data":[9223372036854775807,-1]},` +
		`{"name":"ob","datatype":"BOOL","shape":[2],"data":[true,false]},` +
		`{"name":"os","datatype":"BYTES","shape":[],"data":["aé\u003c\n"]}]}`
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("got  %d %s\nwant %s", w.Code, w.Body, want)
	}
}

func TestFormsOfARequest(t *testing.T) {
	h := handler(t)
	for name, body := range map[string]string{
		"nested":                 good("[1,-2.5,3e1,0.1]", "[[1,-2.5],[3e1,0.1]]"),
		"empty batch":            good(`[2,2],"datatype":"FP32","data":[1,-2.5,3e1,0.1]`, `[0,2],"datatype":"FP32","data":[]`),
		"parameters":             good(`"id":"7"`, `"id":"7","parameters":{"binary_data_output":false,"priority":1,"note":"x"}`),
		"parameters of an input": good(`"name":"b"`, `"name":"b","parameters":{"content_type":"np"}`),
		"no id":                  good(`"id":"7",`, ``),
		"all outputs":            good(`"id":"7"`, `"outputs":[]`),
	} {
		t.Run(name, func(t *testing.T) {
			status, answer, _ := call(t, h, "POST", "/v2/models/echo/infer", body)
			if status != 200 || len(answer["outputs"].([]any)) != 4 {
				t.Errorf("%d %v", status, answer)
			}
		})
	}
	status, answer, _ := call(t, h, "POST", "/v2/models/echo/infer",
		good(`"id":"7"`, `"outputs":[{"name":"os","parameters":{"binary_data":false}},{"name":"oi"}]`))
	outputs := answer["outputs"].([]any)
	if status != 200 || len(outputs) != 2 || outputs[0].(map[string]any)["name"] != "os" || outputs[1].(map[string]any)["name"] != "oi" {
		t.Errorf("%d %v", status, answer)
	}
	if _, ok := answer["id"]; ok {
		t.Error("an id that was not sent")
	}
}

func TestBadRequests(t *testing.T) {
	h := handler(t)
	for name, c := range map[string]struct{ body, want string }{
		"empty":                    {``, "found nothing, expected object"},
		"not JSON":                 {`hello`, "not a JSON value"},
		"array":                    {`[]`, "expected object"},
		"two documents":            {good("", "") + "{}", "follows the document"},
		"no inputs":                {`{}`, `request has no "inputs"`},
		"inputs null":              {`{"inputs":null}`, "found null, expected array"},
		"missing input":            {`{"inputs":[]}`, `input "f": is missing`},
		"unknown member":           {good(`"id"`, `"ID"`), `request: unknown member "ID"`},
		"member twice":             {good(`"id":"7"`, `"id":"7","id":"8"`), `"id" is there twice`},
		"id number":                {good(`"7"`, `7`), "found number, expected string"},
		"id null":                  {good(`"7"`, `null`), "found null, expected string"},
		"long id":                  {good(`"7"`, `"`+strings.Repeat("x", 257)+`"`), "id of 257 bytes"},
		"input unknown member":     {good(`"name":"b"`, `"name":"b","extra":1`), `input: unknown member "extra"`},
		"input member twice":       {good(`"name":"b"`, `"name":"b","name":"s"`), `"name" is there twice`},
		"input twice":              {good(`"name":"b"`, `"name":"f"`), `input "f": is there twice`},
		"no such input":            {good(`"name":"b"`, `"name":"q"`), `input "q": the model has no such input`},
		"no name":                  {good(`"name":"b",`, ``), "must have name, shape, datatype, and either data"},
		"no shape":                 {good(`"shape":[2],"datatype":"BOOL"`, `"datatype":"BOOL"`), "must have name"},
		"no datatype":              {good(`,"datatype":"BOOL"`, ``), "must have name"},
		"no data":                  {good(`,"data":[true,false]`, ``), "must have name"},
		"data null":                {good(`[true,false]`, `null`), "found null, expected array"},
		"data element null":        {good(`[true,false]`, `[true,null]`), "found null, expected bool"},
		"data object":              {good(`[true,false]`, `{"a":1}`), "found object, expected array"},
		"datatype unknown":         {good(`"BOOL"`, `"FP8"`), `datatype "FP8" is not supported`},
		"datatype of others":       {good(`"BOOL"`, `"FP8"`), `datatype "FP8" is not supported; there are FP16, BF16, FP32`},
		"datatype case":            {good(`"BOOL"`, `"bool"`), "is not supported"},
		"datatype not the model's": {good(`"BOOL","data":[true,false]`, `"INT64","data":[1,0]`), `input "b": datatype INT64, expected BOOL`},
		"shape negative":           {good(`"shape":[2],"datatype":"BOOL"`, `"shape":[-2],"datatype":"BOOL"`), "shape holds -2"},
		"shape float":              {good(`"shape":[2],"datatype":"BOOL"`, `"shape":[2.0],"datatype":"BOOL"`), "not an int64"},
		"shape overflow":           {good(`"shape":[2],"datatype":"BOOL"`, `"shape":[4294967296,4294967296],"datatype":"BOOL"`), "more elements than"},
		"shape beyond data":        {good(`"shape":[2],"datatype":"BOOL"`, `"shape":[4000000],"datatype":"BOOL"`), "data has fewer"},
		"shape rank":               {good(`"shape":[2],"datatype":"BOOL"`, `"shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2],"datatype":"BOOL"`), "more than 16 dimensions"},
		"shape not the model's":    {good(`"shape":[2,2]`, `"shape":[4]`), `input "f": has shape [4], expected [-1 2]`},
		"shapes disagree":          {good(`"shape":[2],"datatype":"BOOL","data":[true,false]`, `"shape":[1],"datatype":"BOOL","data":[true]`), `dimension "k" is 2 in another input`},
		"too few elements":         {good(`[true,false]`, `[true]`), "needs 2 elements, data has 1"},
		"too many elements":        {good(`[true,false]`, `[true,false,true]`), "needs 2 elements, data has more"},
		"no elements":              {good(`[true,false]`, `[    ]`), "needs 2 elements, data has 0"},
		"nested for a list":        {good(`[true,false]`, `[[true],[false]]`), "arrays inside arrays for shape [2]"},
		"nested wrong rows":        {good(`[1,-2.5,3e1,0.1]`, `[[1,-2.5,3e1,0.1]]`), "an array of dimension 1 has 4 elements, shape is [2 2]"},
		"nested too few rows":      {good(`[1,-2.5,3e1,0.1]`, `[[1,-2.5]]`), "data has 1 rows"},
		"nested then flat":         {good(`[1,-2.5,3e1,0.1]`, `[[1,-2.5],3e1,0.1]`), "found number, expected array"},
		"flat then nested":         {good(`[1,-2.5,3e1,0.1]`, `[1,-2.5,[3e1,0.1]]`), "found array, expected number"},
		"nested too deep":          {good(`[1,-2.5,3e1,0.1]`, `[[[1],[2]],[[3],[4]]]`), "found array, expected number"},
		"number as string":         {good(`[1,-2.5,3e1,0.1]`, `["1",2,3,4]`), "found string, expected number"},
		"float overflow":           {good(`[1,-2.5,3e1,0.1]`, `[1e39,2,3,4]`), "does not fit into a float32"},
		"NaN":                      {good(`[1,-2.5,3e1,0.1]`, `[NaN,2,3,4]`), "not a JSON value"},
		"int overflow":             {good(`9223372036854775807`, `9223372036854775808`), "not an int64"},
		"int as float":             {good(`9223372036854775807`, `1.5`), "not an int64"},
		"bool as int":              {good(`[true,false]`, `[1,0]`), "found number, expected bool"},
		"bytes as number":          {good(`["a\u00e9<\n"]`, `[1]`), "found number, expected string"},
		"half a surrogate":         {good(`a\u00e9`, `\ud800`), "surrogate"},
		"invalid UTF-8":            {good(`a\u00e9`, "\xff"), "not UTF-8"},
		"output unknown":           {good(`"id":"7"`, `"outputs":[{"name":"q"}]`), `output "q": the model has no such output`},
		"output twice":             {good(`"id":"7"`, `"outputs":[{"name":"of"},{"name":"of"}]`), `output "of" is there twice`},
		"output unnamed":           {good(`"id":"7"`, `"outputs":[{}]`), "the model has no such output"},
		"classification":           {good(`"id":"7"`, `"outputs":[{"name":"of","parameters":{"classification":2}}]`), `parameter "classification" is not supported`},
		"shared memory":            {good(`"name":"b"`, `"name":"b","parameters":{"shared_memory_region":"r"}`), "is not supported"},
		"sequence":                 {good(`"id":"7"`, `"parameters":{"sequence_id":1}`), "is not supported"},
		"parameter array":          {good(`"id":"7"`, `"parameters":{"a":[1]}`), `parameter "a" is array`},
		"deep nesting":             {`{"inputs":[{"data":` + strings.Repeat("[", 100_000), "inside each other"},
		"deep data":                {good(`[true,false]`, strings.Repeat("[", 1000)+strings.Repeat("]", 1000)), "inside each other"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer, _ := call(t, h, "POST", "/v2/models/echo/infer", c.body)
			wantFailure(t, status, answer, 400, c.want)
		})
	}
}

func TestHeadersThatChangeTheBodyAreRefused(t *testing.T) {
	h := handler(t)
	status, answer, _ := call(t, h, "POST", "/v2/models/echo/infer", good("", ""), "Content-Encoding", "gzip")
	wantFailure(t, status, answer, 415, "compressed")
	for _, typ := range []string{"application/json", "application/x-www-form-urlencoded", "application/octet-stream"} {
		if status, answer, _ = call(t, h, "POST", "/v2/models/echo/infer", good("", ""), "Content-Type", typ); status != 200 {
			t.Errorf("%s: %d %v", typ, status, answer)
		}
	}
}

func TestSizeLimits(t *testing.T) {
	size := len(good("", ""))
	for _, declared := range []bool{true, false} {
		for limit, want := range map[int64]int{int64(size): 200, int64(size) - 1: 413} {
			r := httptest.NewRequest("POST", "/v2/models/echo/infer", strings.NewReader(good("", "")))
			if !declared {
				r.ContentLength = -1
			}
			w := httptest.NewRecorder()
			handler(t, WithBodyLimit(limit)).ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("limit %d, length declared %v: got %d %s", limit, declared, w.Code, w.Body)
			}
		}
	}
	// The request has 4 + 2 + 2 + 1 elements.
	if status, answer, _ := call(t, handler(t, WithElementLimit(9)), "POST", "/v2/models/echo/infer", good("", "")); status != 200 {
		t.Errorf("9 elements of 9: %d %v", status, answer)
	}
	for _, limit := range []int64{8, 7, 3} {
		status, answer, _ := call(t, handler(t, WithElementLimit(limit)), "POST", "/v2/models/echo/infer", good("", ""))
		wantFailure(t, status, answer, 400, "that are left of the limit")
	}
	status, answer, _ := call(t, handler(t, WithAnswerLimit(100)), "POST", "/v2/models/echo/infer", good("", ""))
	wantFailure(t, status, answer, 400, "larger than 100 B")
}

// TestDeclaredSizeIsEnough: a body that says it is too large is not read at all.
func TestDeclaredSizeIsEnough(t *testing.T) {
	body := strings.NewReader(good("", ""))
	r := httptest.NewRequest("POST", "/v2/models/echo/infer", body)
	w := httptest.NewRecorder()
	handler(t, WithBodyLimit(10)).ServeHTTP(w, r)
	if w.Code != 413 || int64(body.Len()) != body.Size() {
		t.Errorf("got %d, %d of %d bytes left", w.Code, body.Len(), body.Size())
	}
}

// TestAnswerBomb: strings share memory inside the engine, but not in an answer.
func TestAnswerBomb(t *testing.T) {
	expand := pb.Model(pb.Input("s", 8, 1), pb.Input("n", 7, 1), pb.Node("", "Expand", []string{"s", "n"}, []string{"y"}), pb.OpenOutput("y", 8))
	h, err := NewServer([]Loaded{mustLoad(t, "bomb", expand)}, WithAnswerLimit(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	body := func(n int) string {
		return fmt.Sprintf(`{"inputs":[{"name":"s","shape":[1],"datatype":"BYTES","data":["%s"]},{"name":"n","shape":[1],"datatype":"INT64","data":[%d]}]}`,
			strings.Repeat("x", 10_000), n)
	}
	status, answer, _ := call(t, h, "POST", "/v2/models/bomb/infer", body(1_000_000))
	wantFailure(t, status, answer, 400, "the answer is larger than")
	status, answer, _ = call(t, h, "POST", "/v2/models/bomb/infer", body(60_000_000))
	wantFailure(t, status, answer, 400, "too many elements")
	status, answer, _ = call(t, h, "POST", "/v2/models/bomb/infer", body(1<<40))
	wantFailure(t, status, answer, 400, "over the limit")
}

func TestAnswerThatJSONCannotCarry(t *testing.T) {
	h, err := NewServer([]Loaded{mustLoad(t, "log", pb.Model(pb.Input("x", 1, 1), pb.Node("", "Log", []string{"x"}, []string{"y"}), pb.OpenOutput("y", 1)))})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"0", "-1"} {
		status, answer, _ := call(t, h, "POST", "/v2/models/log/infer", `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[`+v+`]}]}`)
		wantFailure(t, status, answer, 422, `output "y" holds a value that JSON cannot carry (not a number, infinite`)
	}
}

// square is a request to slow.
func square(n int) string {
	return fmt.Sprintf(`{"inputs":[{"name":"x","shape":[%d,%d],"datatype":"FP32","data":[%s0]}]}`, n, n, strings.Repeat("0,", n*n-1))
}

// endless multiplies matrices of 2000 rows, which takes many minutes, for a request of a
// few bytes.
func endless(t *testing.T) (m Loaded, body string) {
	nodes := pb.Node("", "ConstantOfShape", []string{"s"}, []string{"v0"})
	for i := range 1000 {
		v := fmt.Sprint("v", i)
		nodes = append(nodes, pb.Node("", "MatMul", []string{v, v}, []string{fmt.Sprint("v", i+1)})...)
	}
	m = mustLoad(t, "endless", pb.Model(pb.Input("s", 7, 2), nodes, pb.OpenOutput("v1000", 1)))
	return m, `{"inputs":[{"name":"s","shape":[2],"datatype":"INT64","data":[2000,2000]}]}`
}

func TestDeadline(t *testing.T) {
	m, body := endless(t)
	if err := longer.Try(time.Second, func(limit time.Duration) error {
		h, err := NewServer([]Loaded{m}, WithDeadline(limit))
		if err != nil {
			t.Fatal(err)
		}
		status, answer, _ := call(t, h, "POST", "/v2/models/endless/infer", body)
		if want := fmt.Sprintf("the run took longer than %v", limit); status != 504 || answer["error"] != want {
			return fmt.Errorf("got %d %v, want 504 with error %q", status, answer, want) // or the limit passed before the run
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestConcurrencyIsBounded fills the one run and checks that the second waits,
// that the third is turned away, and that a caller who leaves frees its place.
func TestConcurrencyIsBounded(t *testing.T) {
	m, body := endless(t)
	s, err := NewServer([]Loaded{m, mustLoad(t, "echo", echo())}, WithConcurrency(1), WithInFlight(2), WithDeadline(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	done := make(chan struct{}, 2)
	for range 2 {
		go func() {
			defer func() { done <- struct{}{} }()
			r, err := http.NewRequestWithContext(ctx, "POST", srv.URL+"/v2/models/endless/infer", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
			}
		}()
	}
	eventually(t, "two requests in flight, one running", func() bool { return len(s.flight) == 2 && s.runs.Stats().Running == 1 })
	status, answer, header := call(t, s, "POST", "/v2/models/echo/infer", good("", ""))
	wantFailure(t, status, answer, 429, "too many requests at once")
	if header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", header.Get("Retry-After"))
	}
	if status, answer, _ := call(t, s, "GET", "/v2/health/ready", ""); status != 200 {
		t.Errorf("health while busy: %d %v", status, answer)
	}
	leave()
	<-done
	<-done
	eventually(t, "all places free", func() bool { return len(s.flight) == 0 && s.runs.Stats().Running == 0 })
	if status, answer, _ := call(t, s, "POST", "/v2/models/echo/infer", good("", "")); status != 200 {
		t.Errorf("after all left: %d %v", status, answer)
	}
}

// TestCallersTakeTurns: who has used a run for long waits behind who has not.
func TestCallersTakeTurns(t *testing.T) {
	h := handler(t, WithConcurrency(1), WithDeadline(2*time.Minute))
	s := h.(*Server)
	release, err := s.runs.Acquire(t.Context(), "hospital")
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	var mu sync.Mutex
	var done sync.WaitGroup
	body := square(200)
	for i, caller := range []string{"hospital", "hospital", "hospital", "hospital", "hospital", "bank"} {
		path, body := "/v2/models/slow/infer", body
		if caller == "bank" { // its answer is not overtaken by all of the others'
			path, body = "/v2/models/echo/infer", good("", "")
		}
		done.Go(func() {
			status, answer, _ := call(t, h, "POST", path, body, CallerHeader, caller)
			if status != 200 {
				t.Errorf("%s: %d %v", caller, status, answer["error"])
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, caller)
		})
		eventually(t, "the request waits", func() bool { return s.runs.Stats().Waiting == i+1 })
	}
	release()
	done.Wait()
	if i := slices.Index(order, "bank"); i < 0 || i == len(order)-1 {
		t.Errorf("runs ended in the order %v", order)
	}
}

// TestWhoMayTryAgain: a refusal that is about the moment says when to try again.
func TestWhoMayTryAgain(t *testing.T) {
	if err := longer.Try(50*time.Millisecond, func(limit time.Duration) error {
		h := handler(t, WithConcurrency(1), WithDeadline(limit))
		release, err := h.(*Server).runs.Acquire(t.Context(), "bank")
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		status, answer, header := call(t, h, "POST", "/v2/models/echo/infer", good("", ""))
		if text, _ := answer["error"].(string); status != 429 || !strings.Contains(text, "no run became free before") || header.Get("Retry-After") != "1" {
			return fmt.Errorf("got %d %v, Retry-After %q", status, answer, header.Get("Retry-After")) // or the limit passed before it waited
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestMemoryOfAllRuns: a run that other runs leave no memory for is turned away
// and may try again; one that would never fit is told so.
func TestMemoryOfAllRuns(t *testing.T) {
	h := handler(t, WithMemory(1<<12))
	s := h.(*Server)
	share := s.budget.Share()
	hold := func(n int) error {
		in := tensor.Of(make([]float32, 2*n), int64(n), 2)
		_, err := mustLoad(t, "one", pb.Model(pb.Input("f", 1, "n", 2), pb.Node("", "Identity", []string{"f"}, []string{"y"}), pb.OpenOutput("y", 1))).
			ready.run(t.Context(), map[string]*tensor.Tensor{"f": in}, share, atOnce)
		return err
	}
	if err := hold(256); err != nil {
		t.Fatal(err)
	}
	const path = "/v2/models/slow/infer"
	status, answer, header := call(t, h, "POST", path, square(12))
	wantFailure(t, status, answer, 503, "try again")
	if header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", header.Get("Retry-After"))
	}
	share.Release()
	for range 3 { // each gives back what it took
		if status, answer, _ := call(t, h, "POST", path, square(8)); status != 200 {
			t.Errorf("alone: %d %v", status, answer)
		}
	}
	status, answer, _ = call(t, h, "POST", path, square(20))
	wantFailure(t, status, answer, 400, "in all runs together")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestSlowBodyDoesNotHoldItsPlace: a body that never ends is cut at the deadline.
func TestSlowBodyDoesNotHoldItsPlace(t *testing.T) {
	srv := httptest.NewServer(handler(t, WithDeadline(200*time.Millisecond)))
	defer srv.Close()
	reader, writer := io.Pipe()
	defer writer.Close()
	go func() { _, _ = writer.Write([]byte(`{"inputs":[`)) }()
	resp, err := http.Post(srv.URL+"/v2/models/echo/infer", "application/json", reader)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 408 {
		t.Errorf("got %s", resp.Status)
	}
}

func TestKeepAliveWorksAfterARequest(t *testing.T) {
	if err := longer.Try(time.Second, func(limit time.Duration) error {
		srv := httptest.NewServer(handler(t, WithDeadline(limit)))
		defer srv.Close()
		for _, pause := range []time.Duration{0, limit + limit/10} { // past the deadline of the request before
			time.Sleep(pause)
			resp, err := srv.Client().Post(srv.URL+"/v2/models/echo/infer", "application/json", strings.NewReader(good("", "")))
			if err != nil {
				return err
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 {
				return fmt.Errorf("%s %s %w", resp.Status, body, err)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestNewServerRefuses(t *testing.T) {
	m := mustLoad(t, "echo", echo())
	for name, c := range map[string]struct {
		models []Loaded
		opt    Option
		want   string
	}{
		"twice":            {[]Loaded{m, m}, WithConcurrency(1), `two models are named "echo"`},
		"no name":          {[]Loaded{{Digest: m.Digest, ready: m.ready}}, WithConcurrency(1), `name ""`},
		"not loaded":       {[]Loaded{{Name: "a", Digest: m.Digest}}, WithConcurrency(1), "a was not loaded"},
		"no digest":        {[]Loaded{{Name: "a", ready: m.ready}}, WithConcurrency(1), "a has no digest"},
		"zero body":        {nil, WithBodyLimit(0), "body limit is 0"},
		"zero elements":    {nil, WithElementLimit(0), "element limit is 0"},
		"zero answer":      {nil, WithAnswerLimit(0), "answer limit is 0"},
		"no memory":        {nil, WithMemory(0), "memory is 0"},
		"no concurrency":   {nil, WithConcurrency(-1), "concurrency is -1"},
		"negative flights": {nil, WithInFlight(-1), "requests in flight is -1"},
		"no deadline":      {nil, WithDeadline(0), "deadline is 0"},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := NewServer(c.models, c.opt)
			if err == nil || h != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "a b", "é", "-a", strings.Repeat("a", 129), "a\n"} {
		if m, err := Load(name, echo()); err == nil || m.ready != nil {
			t.Errorf("name %q accepted", name)
		}
	}
	if _, err := Load("x", []byte("not a model")); err == nil || !strings.HasPrefix(err.Error(), "model: x: onnx: ") {
		t.Errorf("%v", err)
	}
}

// TestNothingIsLogged: the package links no way to write anything down.
func TestNothingIsLogged(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if slices.Contains([]string{`"log"`, `"log/slog"`, `"os"`}, i.Path.Value) {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
	}
}

func BenchmarkInfer(b *testing.B) {
	h := handler(b)
	request, _ := tumour.Sample()
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "/v2/models/tumour/infer", bytes.NewReader(request)))
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}

func FuzzInfer(f *testing.F) {
	request, _ := tumour.Sample()
	f.Add("tumour", request, -1)
	f.Add("echo", []byte(good("", "")), -1)
	f.Add("echo", []byte(good("[1,-2.5,3e1,0.1]", "[[1,-2.5],[3e1,0.1]]")), -1)
	f.Add("echo", []byte(good(`"id":"7"`, `"outputs":[{"name":"of","parameters":{"a":1}}]`)), -1)
	asBytes, tensors := inBytes("", "")
	f.Add("echo", append([]byte(asBytes), tensors...), len(asBytes))
	h := handler(f, WithElementLimit(1<<12))
	f.Fuzz(func(t *testing.T, name string, body []byte, head int) {
		if name != "tumour" {
			name = "echo"
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/v2/models/"+name+"/infer", bytes.NewReader(body))
		if head >= 0 {
			r.Header.Set(headerLength, strconv.Itoa(head))
		}
		h.ServeHTTP(w, r)
		answer := w.Body.Bytes()
		if n, err := strconv.Atoi(w.Header().Get(headerLength)); err == nil {
			answer = answer[:n]
		}
		if (w.Code != 200 && w.Code != 400 && w.Code != 422) || !json.Valid(answer) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
