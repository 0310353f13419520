package model

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// post sends JSON and the tensors behind it.
func post(t testing.TB, h http.Handler, model, head string, tensors []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("POST", "/v2/models/"+model+"/infer", bytes.NewReader(append([]byte(head), tensors...)))
	r.Header.Set(headerLength, strconv.Itoa(len(head)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wire writes values as the extension has them.
func wire(values ...any) []byte {
	var b bytes.Buffer
	for _, v := range values {
		if s, ok := v.(string); ok {
			v = append(binary.LittleEndian.AppendUint32(nil, uint32(len(s))), s...)
		}
		_ = binary.Write(&b, binary.LittleEndian, v) // to memory, and of types that it knows
	}
	return b.Bytes()
}

// inBytes is good() with all inputs but i behind the JSON.
func inBytes(old, new string) (string, []byte) {
	const head = `{"id":"7","parameters":{"binary_data_output":true},"inputs":[
		{"name":"f","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}},
		{"data":[9223372036854775807,-1],"name":"i","shape":[2],"datatype":"INT64"},
		{"name":"b","shape":[2],"datatype":"BOOL","parameters":{"binary_data_size":2}},
		{"name":"s","shape":[],"datatype":"BYTES","parameters":{"binary_data_size":7}}]}`
	if !strings.Contains(head, old) {
		panic("the request has no " + old)
	}
	return strings.Replace(head, old, new, 1), wire(float32(1), float32(-2.5), float32(30), float32(0.1), true, false, "a\xff\n")
}

func TestBytesGoThrough(t *testing.T) {
	h := handler(t)
	head, tensors := inBytes("", "")
	w := post(t, h, "echo", head, tensors)
	wantHead := `{"model_name":"echo","model_version":"1","id":"7","outputs":[` +
		`{"name":"of","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":16}},` +
		`{"name":"oi","datatype":"INT64","shape":[2],"parameters":{"binary_data_size":16}},` +
		`{"name":"ob","datatype":"BOOL","shape":[2],"parameters":{"binary_data_size":2}},` +
		`{"name":"os","datatype":"BYTES","shape":[],"parameters":{"binary_data_size":7}}]}`
	want := append([]byte(wantHead), wire(float32(1), float32(-2.5), float32(30), float32(0.1), int64(math.MaxInt64), int64(-1), true, false, "a\xff\n")...)
	if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), want) {
		t.Errorf("got  %d %q\nwant %q", w.Code, w.Body, want)
	}
	if got := w.Header().Get(headerLength); got != strconv.Itoa(len(wantHead)) || w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("headers %v", w.Header())
	}
}

// TestEachOutputAsItIsAskedFor: the parameter of an output wins over the request's,
// wherever the request's stands.
func TestEachOutputAsItIsAskedFor(t *testing.T) {
	h := handler(t)
	for _, c := range []struct {
		request string
		binary  string
	}{
		{`"outputs":[{"name":"of"},{"name":"oi"}]`, "-"},
		{`"outputs":[{"name":"of","parameters":{"binary_data":true}},{"name":"oi"}]`, "of"},
		{`"outputs":[{"name":"of","parameters":{"binary_data":false}},{"name":"oi"}],"parameters":{"binary_data_output":true}`, "oi"},
		{`"parameters":{"binary_data_output":true},"outputs":[{"name":"of","parameters":{"binary_data":false}},{"name":"oi"}]`, "oi"},
		{`"parameters":{"binary_data_output":false},"outputs":[{"name":"of"},{"name":"oi","parameters":{"binary_data":false}}]`, "-"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "/v2/models/echo/infer", strings.NewReader(good(`"id":"7"`, c.request))))
		head := w.Body.Bytes()
		if n, err := strconv.Atoi(w.Header().Get(headerLength)); err == nil {
			head = head[:n]
		}
		var answer struct {
			Outputs []struct {
				Name       string
				Data       []any
				Parameters map[string]int
			}
		}
		if err := json.Unmarshal(head, &answer); err != nil || len(answer.Outputs) != 2 {
			t.Fatalf("%s: %v in %q", c.request, err, head)
		}
		for _, o := range answer.Outputs {
			if asBytes := o.Name == c.binary; asBytes == (o.Data != nil) || asBytes != (o.Parameters["binary_data_size"] > 0) {
				t.Errorf("%s: %+v", c.request, o)
			}
		}
	}
}

// TestTypesWithoutJSON: half precision, and what is no number, go as bytes.
func TestTypesWithoutJSON(t *testing.T) {
	for typ, name := range map[tensor.DataType]string{tensor.Float16: "FP16", tensor.BFloat16: "BF16"} {
		h, err := NewServer([]Loaded{mustLoad(t, "half", pb.Model(pb.Input("x", int64(typ), 2), pb.Node("", "Identity", []string{"x"}, []string{"y"}), pb.OpenOutput("y", int64(typ))))})
		if err != nil {
			t.Fatal(err)
		}
		head := fmt.Sprintf(`{"inputs":[{"name":"x","shape":[2],"datatype":%q,"parameters":{"binary_data_size":4}}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`, name)
		w := post(t, h, "half", head, []byte{1, 2, 3, 4})
		if w.Code != 200 || !bytes.HasSuffix(w.Body.Bytes(), []byte("}]}\x01\x02\x03\x04")) {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
		status, answer, _ := call(t, h, "POST", "/v2/models/half/infer", strings.Replace(head, `"parameters":{"binary_data_size":4}`, `"data":[1,2]`, 1))
		wantFailure(t, status, answer, 400, name+" have no form in JSON")
		w = post(t, h, "half", strings.Replace(head, "true", "false", 1), []byte{1, 2, 3, 4})
		if w.Code != 422 || !strings.Contains(w.Body.String(), "ask for it as bytes") {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
	}
	h := handler(t)
	head, tensors := inBytes(`{"binary_data_output":true}`, `{}`)
	if w := post(t, h, "echo", head, tensors); w.Code != 422 || !strings.Contains(w.Body.String(), `holds a value that JSON cannot carry`) {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	head, tensors = inBytes("", "")
	copy(tensors, wire(float32(math.NaN()), float32(math.Inf(1))))
	if w := post(t, h, "echo", head, tensors); w.Code != 200 {
		t.Errorf("not a number, as bytes: %d %q", w.Code, w.Body)
	}
}

func TestBadBytes(t *testing.T) {
	h := handler(t)
	change := func(at int, b byte) func([]byte) []byte {
		return func(data []byte) []byte { data[at] = b; return data }
	}
	same := func(data []byte) []byte { return data }
	for name, c := range map[string]struct {
		old, new string
		tensors  func([]byte) []byte
		want     string
	}{
		"too few bytes":        {"", "", func(b []byte) []byte { return b[:len(b)-1] }, "binary_data_size is 7, and 6 bytes are left"},
		"too many bytes":       {"", "", func(b []byte) []byte { return append(b, 0) }, "1 bytes behind the JSON belong to no input"},
		"size and data":        {`"binary_data_size":2}`, `"binary_data_size":2},"data":[true,false]`, same, "either data or the parameter"},
		"neither":              {`,"parameters":{"binary_data_size":2}`, ``, same, "either data or the parameter"},
		"negative size":        {`"binary_data_size":2`, `"binary_data_size":-2`, same, `"binary_data_size" is -2`},
		"size not a number":    {`"binary_data_size":2`, `"binary_data_size":"2"`, same, "expected number"},
		"huge size":            {`"binary_data_size":2`, `"binary_data_size":9223372036854775807`, same, "bytes are left"},
		"size too small":       {`"binary_data_size":16`, `"binary_data_size":12`, same, "needs 4 elements of 4 bytes, binary_data_size is 12"},
		"shape too large":      {`"shape":[2,2]`, `"shape":[2000000,2]`, same, "needs 4000000 elements of 4 bytes"},
		"no bool":              {"", "", change(17, 2), "element 1 of a BOOL tensor is 2"},
		"text too long":        {"", "", change(18, 9), "end in element 0 of 1"},
		"text too short":       {"", "", change(18, 2), "1 bytes follow the last of 1 elements"},
		"text of huge length":  {"", "", change(21, 255), "end in element 0 of 1"},
		"more texts than fit":  {`"shape":[],"datatype":"BYTES"`, `"shape":[4000000],"datatype":"BYTES"`, same, "the tensor's 7 bytes hold fewer"},
		"length ends":          {`"shape":[],"datatype":"BYTES","parameters":{"binary_data_size":7}`, `"shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":3}`, same, "the tensor's 3 bytes hold fewer"},
		"size of the request":  {`"binary_data_output":true`, `"binary_data_size":7`, same, "is not supported"},
		"output's on an input": {`"binary_data_size":2`, `"binary_data":true,"binary_data_size":2`, same, ""},
		"output is no bool":    {`"binary_data_output":true`, `"binary_data_output":1`, same, "expected bool"},
	} {
		t.Run(name, func(t *testing.T) {
			head, tensors := inBytes(c.old, c.new)
			w := post(t, h, "echo", head, c.tensors(tensors))
			if c.want == "" {
				if w.Code != 200 {
					t.Errorf("%d %q", w.Code, w.Body)
				}
				return
			}
			if w.Code != 400 || !strings.Contains(w.Body.String(), strings.ReplaceAll(c.want, `"`, `\"`)) || w.Header().Get(headerLength) != "" {
				t.Errorf("got %d %q, want 400 with %q", w.Code, w.Body, c.want)
			}
		})
	}
}

func TestBadHeaderLength(t *testing.T) {
	h := handler(t)
	for said, want := range map[string]string{"-1": "expected a number", "x": "expected a number", "": "expected a number", "1000000": "and the body has", "99999999999999999999": "expected a number"} {
		status, answer, _ := call(t, h, "POST", "/v2/models/echo/infer", good("", ""), headerLength, said)
		wantFailure(t, status, answer, 400, want)
	}
	r := httptest.NewRequest("POST", "/v2/models/echo/infer", strings.NewReader(good("", "")))
	r.Header[headerLength] = []string{strconv.Itoa(len(good("", ""))), "5"}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 400 || !strings.Contains(w.Body.String(), "is there 2 times") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

// TestBytesWithinTheLimits: the limits of elements and of an answer hold for bytes.
func TestBytesWithinTheLimits(t *testing.T) {
	head, tensors := inBytes("", "")
	if w := post(t, handler(t, WithElementLimit(8)), "echo", head, tensors); w.Code != 400 || !strings.Contains(w.Body.String(), "left of the limit") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	size := post(t, handler(t), "echo", head, tensors).Body.Len()
	for limit, want := range map[int]int{size: 200, size - 1: 400} {
		if w := post(t, handler(t, WithAnswerLimit(int64(limit))), "echo", head, tensors); w.Code != want {
			t.Errorf("%d bytes of %d: %d %q", limit, size, w.Code, w.Body)
		}
	}
}
