package model

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/model/schedule"
	pb "github.com/blindbox/blindbox/onnx/onnxtest"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// repeat is a model whose answer is as long as the request says.
func repeat() []byte {
	return pb.Model(pb.Input("s", 1, 1), pb.Input("n", 7, 1), pb.Node("", "Expand", []string{"s", "n"}, []string{"y"}), pb.OpenOutput("y", 1))
}

func repeated(n int) string {
	return fmt.Sprintf(`{"inputs":[{"name":"s","shape":[1],"datatype":"FP32","data":[0.5]},{"name":"n","shape":[1],"datatype":"INT64","data":[%d]}]}`, n)
}

// TestWorkBesideRuns: whatever reads a long body or writes a long answer asks for a turn,
// and what is short asks nobody.
func TestWorkBesideRuns(t *testing.T) {
	s := serverOf(t, mustLoad(t, "words", words()))
	m, err := s.find(t.Context(), httptest.NewRequest("POST", "/", nil), "words", "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.release()
	const some, many = 8, 64 << 10
	numbers := func(n int) []byte { return []byte("[" + strings.Repeat("0,", n-1) + "0]") }
	texts := func(n int) []byte {
		return []byte(`{"model":"words","input":[` + strings.Repeat(`"x",`, min(n, maxTexts)-1) + `"` + strings.Repeat("x", n) + `"]}`)
	}
	floats := func(n int) *tensor.Tensor { return tensor.Of(make([]float32, n), int64(n), 1) }
	for name, does := range map[string]func(n int, beside *work) error{
		"request": func(n int, beside *work) error {
			_, err := parseRequest([]byte(`{"id":"`+strings.Repeat(" ", n)+`"}`), nil, m, 1<<20, beside)
			return err
		},
		"data": func(n int, beside *work) error {
			_ = beside.on(freeWork)
			_ = beside.on(n / many)
			_, err := readTensor(numbers(n), tensor.Float32, []int64{int64(n)}, int64(n), beside)
			return err
		},
		"strings": func(n int, beside *work) error {
			_, err := binaryTensor(make([]byte, lengthSize*n), tensor.String, []int64{int64(n)}, int64(n), beside)
			return err
		},
		"model in a body": func(n int, beside *work) error {
			_, err := named(httptest.NewRequest("POST", "/v1/embeddings", nil), texts(n), beside)
			return err
		},
		"texts": func(n int, beside *work) error { _, err := readEmbeddings(texts(n), beside); return err },
		"embeddings": func(n int, beside *work) error {
			q := embeddingRequest{texts: make([]string, n)}
			_, err := q.answer("m", floats(n), 0, 1<<30, beside)
			return err
		},
		"tensor": func(n int, beside *work) error {
			_, err := appendTensor(nil, "y", floats(n), 1<<30, beside)
			return err
		},
		"strings behind": func(n int, beside *work) error {
			_, err := appendBinary(nil, tensor.Of(make([]string, n), int64(n)), beside)
			return err
		},
	} {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, n := range []int{some, many} {
			beside := s.work(ended, "clinic")
			err := does(n, beside)
			asked := err != nil && orFail(err, 0, "").Error() == notRun(context.Canceled).Error()
			if asked != (n == many) {
				t.Errorf("%s, %d elements: asked for a turn: %v (%v)", name, n, asked, err)
			}
			beside.end()
			beside = s.work(t.Context(), "clinic")
			if err := does(n, beside); err != nil && orFail(err, 0, "").Error() == notRun(context.Canceled).Error() {
				t.Errorf("%s, %d elements, with a turn: %v", name, n, err)
			}
			beside.end()
		}
	}
	if st := s.runs.Stats(); st.Running+st.Waiting != 0 {
		t.Errorf("%+v is left", st)
	}
}

// TestWorkAndRunsOfOne: on a box with a single run, long requests and answers take turns
// with their own runs and with others', and nothing waits for itself.
func TestWorkAndRunsOfOne(t *testing.T) {
	s := serverOf(t, mustLoad(t, "repeat", repeat()))
	const n = 300_000
	long := strings.Replace(repeated(n), "{", "{"+strings.Repeat(" ", 2*freeWork), 1)
	done := make(chan *httptest.ResponseRecorder)
	for i := range 6 {
		caller := fmt.Sprint("caller", i%2)
		go func() { done <- as(t, s, caller, "POST", "/v2/models/repeat/infer", strings.NewReader(long)) }()
	}
	for range 6 {
		if w := <-done; w.Code != 200 || strings.Count(w.Body.String(), "0.5") != n {
			t.Errorf("%d %.200s", w.Code, w.Body)
		}
	}
	if st := s.runs.Stats(); st.Running+st.Waiting != 0 {
		t.Errorf("%+v is left", st)
	}
}

// TestLongBodyWaits: a long body is not read while others have all runs, a short one is;
// a caller who leaves is waited for no more.
func TestLongBodyWaits(t *testing.T) {
	s := openAIServer(t, WithConcurrency(1))
	release, err := s.runs.Acquire(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	space := strings.Repeat(" ", 2*freeWork)
	want(t, as(t, s, "clinic", "POST", "/v2/models/vectors/infer", strings.NewReader("{}")), 400, "no")
	for path, body := range map[string]string{"/v2/models/vectors/infer": "{}", "/v1/embeddings": `{"model":"vectors"}`} {
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequest("POST", path, strings.NewReader(space+body)).WithContext(ctx)
		done := make(chan *httptest.ResponseRecorder)
		go func() {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			done <- w
		}()
		eventually(t, path+" waits", func() bool { return s.runs.Stats().Waiting == 1 })
		cancel()
		want(t, <-done, http.StatusServiceUnavailable, "the caller left")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequest("POST", "/v1/embeddings", nil).WithContext(ctx)
	_, _, err = s.Model("clinic", r, bytes.Repeat([]byte(" "), 2*freeWork))
	if later, ok := err.(interface{ Later() bool }); !ok || !later.Later() {
		t.Errorf("%v, expected an error of the moment", err)
	}
	_, _, err = s.Model("clinic", r, []byte("{}"))
	if _, ok := err.(interface{ Later() bool }); ok || err == nil {
		t.Errorf("%v, expected what is wrong", err)
	}
}

// TestAnswersAreNotRefused: where there is no place for a new request, nobody reads a long
// one, and the long answer of a run that there was is written.
func TestAnswersAreNotRefused(t *testing.T) {
	s := serverOf(t, mustLoad(t, "words", words()))
	m, err := s.find(t.Context(), httptest.NewRequest("POST", "/", nil), "words", "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.release()
	if s.runs, err = schedule.New(1, schedule.Limits{Queue: 1, Caller: 1}); err != nil {
		t.Fatal(err)
	}
	const n = 64 << 10
	y := tensor.Of(make([]float32, n), n, 1)
	for name, writes := range map[string]func(beside *work) (reply, error){
		"tensors": func(beside *work) (reply, error) {
			return s.encode(m, &request{outputs: []wanted{{name: "y"}}}, map[string]*tensor.Tensor{"y": y}, beside)
		},
		"embeddings": func(beside *work) (reply, error) {
			return (&embeddingRequest{texts: make([]string, n)}).answer("m", y, 0, 1<<30, beside)
		},
	} {
		release, err := s.runs.Acquire(t.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		waits, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { _, err := s.runs.Acquire(waits, "clinic"); done <- err }()
		eventually(t, "the queue is full", func() bool { return s.runs.Stats().Waiting == 1 })
		if err := s.work(t.Context(), "clinic").on(2 * freeWork); orFail(err, 0, "").(*failure).status != http.StatusTooManyRequests {
			t.Errorf("to read: %v, expected no place", err)
		}
		go func() {
			beside := s.work(t.Context(), "clinic")
			defer beside.end()
			_, err := writes(beside)
			done <- err
		}()
		eventually(t, name+" wait", func() bool { return len(done) == 1 || s.runs.Stats().Waiting == 2 })
		cancel()
		<-done
		release()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
