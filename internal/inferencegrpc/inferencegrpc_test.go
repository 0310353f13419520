package inferencegrpc

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/blindbox/blindbox/examples/tumour"
	pb "github.com/blindbox/blindbox/internal/inferencegrpc/inferencepb"
	"github.com/blindbox/blindbox/internal/inferencegrpc/inferencepb/inferencepbconnect"
	"github.com/blindbox/blindbox/model"
	"github.com/blindbox/blindbox/onnx/onnxtest"
)

// types are the element types that have contents of their own.
func types() map[string]*pb.InferTensorContents {
	return map[string]*pb.InferTensorContents{
		"BOOL": {BoolContents: []bool{true, false}}, "BYTES": {BytesContents: [][]byte{[]byte("é"), {0xff}}},
		"INT8": {IntContents: []int32{-128, 127}}, "INT16": {IntContents: []int32{math.MinInt16, 1}}, "INT32": {IntContents: []int32{math.MinInt32, 1}},
		"UINT8": {UintContents: []uint32{0, 255}}, "UINT16": {UintContents: []uint32{0, 65535}}, "UINT32": {UintContents: []uint32{0, math.MaxUint32}},
		"INT64": {Int64Contents: []int64{math.MinInt64, 1}}, "UINT64": {Uint64Contents: []uint64{math.MaxUint64, 1}},
		"FP32": {Fp32Contents: []float32{float32(math.Inf(1)), 0.1}}, "FP64": {Fp64Contents: []float64{math.Inf(-1), 0.1}},
	}
}

// numbers of the element types in ONNX.
var numbers = map[string]int64{"FP32": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, "BYTES": 8, "BOOL": 9, "FP16": 10, "FP64": 11, "UINT32": 12, "UINT64": 13}

// models are the demo's, and one that gives back two elements of each type.
func models(t testing.TB) http.Handler {
	t.Helper()
	var graph, outputs []byte
	for name, n := range numbers {
		graph = append(graph, onnxtest.Input("in"+name, n, 2)...)
		graph = append(graph, onnxtest.Node("", "Identity", []string{"in" + name}, []string{"out" + name})...)
		outputs = append(outputs, onnxtest.Output("out"+name, n, 2)...)
	}
	var loaded []model.Loaded
	for name, data := range map[string][]byte{"tumour": tumour.Model(), "all": onnxtest.Model(append(graph, outputs...))} {
		m, err := model.Load(name, data)
		if err != nil {
			t.Fatal(err)
		}
		loaded = append(loaded, m)
	}
	h, err := model.NewServer(loaded)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// serve starts the box's server, and what answers gRPC in front of it.
func serve(t testing.TB, box http.Handler) *httptest.Server {
	t.Helper()
	behind := httptest.NewServer(box)
	t.Cleanup(behind.Close)
	base, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(New(func(r *http.Request) (*http.Response, error) {
		r.URL.Scheme, r.URL.Host = base.Scheme, base.Host
		return http.DefaultTransport.RoundTrip(r)
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

func client(t testing.TB, srv *httptest.Server) inferencepbconnect.GRPCInferenceServiceClient {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return inferencepbconnect.NewGRPCInferenceServiceClient(&http.Client{Transport: tr}, srv.URL, connect.WithGRPC())
}

// ask is a request to the model of all types: old is replaced in it.
func ask(change func(q *pb.ModelInferRequest)) *pb.ModelInferRequest {
	q := &pb.ModelInferRequest{ModelName: "all", Id: "7", Parameters: map[string]*pb.InferParameter{"priority": {ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: 1}}}}
	for name, c := range types() {
		q.Inputs = append(q.Inputs, &pb.ModelInferRequest_InferInputTensor{Name: "in" + name, Datatype: name, Shape: []int64{2}, Contents: c})
		q.Outputs = append(q.Outputs, &pb.ModelInferRequest_InferRequestedOutputTensor{Name: "out" + name})
	}
	change(q)
	return q
}

// raw moves the contents of a request to raw_input_contents, and adds what has none.
func raw(t testing.TB, q *pb.ModelInferRequest) {
	t.Helper()
	for _, in := range q.Inputs {
		b, err := contents(in.Datatype, in.Contents)
		if err != nil {
			t.Fatal(err)
		}
		q.RawInputContents, in.Contents = append(q.RawInputContents, b), nil
	}
	q.Inputs = append(q.Inputs, &pb.ModelInferRequest_InferInputTensor{Name: "inFP16", Datatype: "FP16", Shape: []int64{2}})
	q.RawInputContents = append(q.RawInputContents, []byte{1, 2, 3, 4})
}

func TestEveryTypeGoesThrough(t *testing.T) {
	c := client(t, serve(t, models(t)))
	q := ask(func(q *pb.ModelInferRequest) { raw(t, q) })
	a, err := c.ModelInfer(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if a.ModelName != "all" || a.ModelVersion != "1" || a.Id != "7" || len(a.Outputs) != len(q.Outputs) || len(a.RawOutputContents) != len(q.Outputs) {
		t.Fatalf("%v", a)
	}
	for i, out := range a.Outputs {
		if out.Name != q.Outputs[i].Name || "out"+out.Datatype != out.Name || len(out.Shape) != 1 || out.Shape[0] != 2 || !bytes.Equal(a.RawOutputContents[i], q.RawInputContents[i]) {
			t.Errorf("%v: %x, sent %x", out, a.RawOutputContents[i], q.RawInputContents[i])
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	c := client(t, serve(t, models(t)))
	for name, e := range map[string]struct {
		change func(q *pb.ModelInferRequest)
		code   connect.Code
		want   string
	}{
		"no such model":      {func(q *pb.ModelInferRequest) { q.ModelName = "none" }, connect.CodeNotFound, `no model "none"`},
		"a path for a name":  {func(q *pb.ModelInferRequest) { q.ModelName = "../repository" }, connect.CodeInvalidArgument, "expected letters"},
		"dots for a name":    {func(q *pb.ModelInferRequest) { q.ModelName = ".." }, connect.CodeInvalidArgument, "expected letters"},
		"no name":            {func(q *pb.ModelInferRequest) { q.ModelName = "" }, connect.CodeInvalidArgument, "expected letters"},
		"no such version":    {func(q *pb.ModelInferRequest) { q.ModelVersion = "2" }, connect.CodeNotFound, "version"},
		"a path for version": {func(q *pb.ModelInferRequest) { q.ModelVersion = "1/x" }, connect.CodeInvalidArgument, "version \"1/x\""},
		"too few elements":   {func(q *pb.ModelInferRequest) { q.Inputs[0].Shape = []int64{3} }, connect.CodeInvalidArgument, "needs 3 elements"},
		"half in contents":   {func(q *pb.ModelInferRequest) { q.Inputs[0].Datatype = "FP16" }, connect.CodeInvalidArgument, "use raw_input_contents"},
		"raw and contents":   {func(q *pb.ModelInferRequest) { q.RawInputContents = make([][]byte, len(q.Inputs)) }, connect.CodeInvalidArgument, "beside raw_input_contents"},
		"too few raw":        {func(q *pb.ModelInferRequest) { q.RawInputContents = [][]byte{nil} }, connect.CodeInvalidArgument, "1 raw_input_contents for"},
		"a wrong parameter":  {func(q *pb.ModelInferRequest) { q.Parameters["sequence_id"] = q.Parameters["priority"] }, connect.CodeInvalidArgument, "sequence_id"},
		"out of range": {func(q *pb.ModelInferRequest) {
			for _, in := range q.Inputs {
				if in.Datatype == "UINT8" {
					in.Contents = &pb.InferTensorContents{UintContents: []uint32{1, 256}}
				}
			}
		}, connect.CodeInvalidArgument, "element 1 is 256, expected 0 to 255"},
	} {
		_, err := c.ModelInfer(t.Context(), ask(e.change))
		if connect.CodeOf(err) != e.code || !strings.Contains(err.Error(), e.want) {
			t.Errorf("%s: got %v, want %s with %q", name, err, e.code, e.want)
		}
	}
}

func TestStreamGoesOnAfterAnError(t *testing.T) {
	s, err := client(t, serve(t, models(t))).ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"", `no model "none"`, ""} {
		q := ask(func(q *pb.ModelInferRequest) { raw(t, q) })
		if want != "" {
			q.ModelName = "none"
		}
		if err := s.Send(q); err != nil {
			t.Fatal(err)
		}
		a, err := s.Receive()
		if err != nil || a.ErrorMessage != want || (a.InferResponse == nil) != (want != "") {
			t.Errorf("%v, %v; want %q", a, err, want)
		}
	}
	if err := errors.Join(s.CloseRequest(), s.CloseResponse()); err != nil {
		t.Error(err)
	}
}

// TestCodes: what the box answers over HTTP, gRPC clients see as the code they know.
func TestCodes(t *testing.T) {
	for status, want := range map[int]connect.Code{
		400: connect.CodeInvalidArgument, 401: connect.CodeUnauthenticated, 403: connect.CodePermissionDenied, 404: connect.CodeNotFound, 405: connect.CodeInvalidArgument,
		408: connect.CodeDeadlineExceeded, 409: connect.CodeFailedPrecondition, 413: connect.CodeResourceExhausted, 415: connect.CodeInvalidArgument, 422: connect.CodeInvalidArgument,
		429: connect.CodeResourceExhausted, 500: connect.CodeInternal, 501: connect.CodeUnimplemented, 502: connect.CodeUnavailable, 503: connect.CodeUnavailable, 504: connect.CodeDeadlineExceeded, 507: connect.CodeResourceExhausted,
	} {
		c := client(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"title":"busy","detail":"too many"}`))
		})))
		_, err := c.ServerLive(t.Context(), &pb.ServerLiveRequest{})
		var e *connect.Error
		if !errors.As(err, &e) || e.Code() != want || e.Message() != "busy: too many" || e.Meta().Get("Retry-After") != "3" {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// TestAnswersThatAreNone: the box is not believed to answer well.
func TestAnswersThatAreNone(t *testing.T) {
	const good = `{"model_name":"all","outputs":[{"name":"a","datatype":"INT8","shape":[1],"parameters":{"binary_data_size":1}}]}`
	for name, e := range map[string]struct{ body, length, want string }{
		"no JSON":         {"hello", "5", "cannot be read"},
		"length too long": {good, "1000", "the answer has"},
		"length negative": {good, "-1", "the answer has"},
		"no bytes":        {good, "111", "no binary_data_size that fits"},
		"no size":         {strings.Replace(good, "binary_data_size", "x", 1), "", "no binary_data_size"},
		"bytes left":      {good + "xy", "111", "bytes follow"},
	} {
		if len(good) != 111 {
			t.Fatalf("%d bytes", len(good))
		}
		c := client(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if e.length != "" {
				w.Header().Set(headerLength, e.length)
			}
			_, _ = w.Write([]byte(e.body))
		})))
		if _, err := c.ModelInfer(t.Context(), ask(func(*pb.ModelInferRequest) {})); connect.CodeOf(err) != connect.CodeInternal || !strings.Contains(err.Error(), e.want) {
			t.Errorf("%s: got %v, want %q", name, err, e.want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	h := New(func(*http.Request) (*http.Response, error) { return nil, errors.New("BBX-203: refused") })
	s := &service{box{func(*http.Request) (*http.Response, error) { return nil, errors.New("BBX-203: refused") }}}
	_, err := s.ServerReady(t.Context(), nil)
	if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), "BBX-203") || h == nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.ServerReady(ctx, nil); connect.CodeOf(err) != connect.CodeCanceled {
		t.Error(err)
	}
}

func TestRepository(t *testing.T) {
	var asked []string
	c := client(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		_, _ = w.Write([]byte(`{"models":[{"name":"a","version":"1","state":"READY"},{"name":"b","version":"2","state":"UNAVAILABLE","reason":"unloaded"}]}`))
	})))
	all, err := c.RepositoryIndex(t.Context(), &pb.RepositoryIndexRequest{})
	if err != nil || len(all.Models) != 2 || all.Models[1].Reason != "unloaded" {
		t.Error(all, err)
	}
	ready, err := c.RepositoryIndex(t.Context(), &pb.RepositoryIndexRequest{Ready: true})
	if err != nil || len(ready.Models) != 1 || ready.Models[0].Name != "a" {
		t.Error(ready, err)
	}
	if _, err := c.RepositoryModelLoad(t.Context(), &pb.RepositoryModelLoadRequest{ModelName: "a"}); err != nil {
		t.Error(err)
	}
	if _, err := c.RepositoryModelUnload(t.Context(), &pb.RepositoryModelUnloadRequest{ModelName: "a"}); err != nil {
		t.Error(err)
	}
	want := "GET /v2/models, GET /v2/models, POST /v2/repository/models/a/load, POST /v2/repository/models/a/unload"
	if got := strings.Join(asked, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, err := range []error{
		second(c.RepositoryIndex(t.Context(), &pb.RepositoryIndexRequest{RepositoryName: "x"})),
		second(c.RepositoryModelUnload(t.Context(), &pb.RepositoryModelUnloadRequest{ModelName: "a", RepositoryName: "x"})),
		second(c.RepositoryModelLoad(t.Context(), &pb.RepositoryModelLoadRequest{ModelName: "a/b"})),
		second(c.RepositoryModelLoad(t.Context(), &pb.RepositoryModelLoadRequest{ModelName: "a", Parameters: map[string]*pb.ModelRepositoryParameter{"config": {}}})),
	} {
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestTritonclient runs the protocol's common client, unmodified.
func TestTritonclient(t *testing.T) {
	python := os.Getenv("BLINDBOX_PYTHON")
	if python == "" {
		t.Skip("skipped: BLINDBOX_PYTHON does not name a Python that has tritonclient[grpc] and numpy")
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import numpy, tritonclient.grpc").CombinedOutput(); err != nil {
		t.Fatalf("BLINDBOX_PYTHON: %s cannot import numpy and tritonclient.grpc: %v\n%s", python, err, out)
	}
	srv := serve(t, models(t))
	out, err := exec.CommandContext(t.Context(), python, "testdata/client.py", strings.TrimPrefix(srv.URL, "http://")).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "ok" {
		t.Errorf("%v\n%s", err, out)
	}
}
