package box

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blindbox/blindbox/internal/garbage"
	"github.com/blindbox/blindbox/onnx"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// miniLM is a box that brings MiniLM, and a session of the same file outside of it.
type miniLM struct {
	*running
	session *onnx.Session
	inputs  map[string]*tensor.Tensor
	body    []byte // a request with tensors as bytes
	head    int    // its first bytes that are JSON
}

// tokens is how long the sentence is.
const tokens = 128

func newMiniLM(b *testing.B, file string) *miniLM {
	dir := os.Getenv("BLINDBOX_MODELS")
	if dir == "" {
		b.Skip("BLINDBOX_MODELS names no folder with real models")
	}
	b.Cleanup(garbage.Beside(0).Stop) // as boxd
	path := filepath.Join(dir, file)
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	parsedModel, err := onnx.Parse(data, onnx.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	m := &miniLM{inputs: map[string]*tensor.Tensor{}}
	if m.session, err = onnx.NewSession(parsedModel); err != nil {
		b.Fatal(err)
	}
	ids, ones := make([]int64, tokens), make([]int64, tokens)
	for i := range ids {
		ids[i], ones[i] = int64(1000+7*i), 1
	}
	var raw []byte
	head := []byte(`{"parameters":{"binary_data_output":true},"inputs":[`)
	for i, in := range m.session.Inputs() {
		t := tensor.Of(ones, 1, tokens)
		switch in.Name {
		case "input_ids":
			t = tensor.Of(ids, 1, tokens)
		case "token_type_ids":
			t = tensor.Of(make([]int64, tokens), 1, tokens)
		}
		m.inputs[in.Name] = t
		raw = append(raw, tensor.LittleEndian(t)...)
		if i > 0 {
			head = append(head, ',')
		}
		head = fmt.Appendf(head, `{"name":%q,"datatype":"INT64","shape":[1,%d],"parameters":{"binary_data_size":%d}}`, in.Name, tokens, 8*tokens)
	}
	head = append(head, "]}"...)
	m.body, m.head = append(head, raw...), len(head)
	doc := fmt.Sprintf("name: bench\nmodels: [{name: minilm, path: %q, sha256: \"sha256:%x\"}]\nlimits: {concurrent: 64}\ncallers:\n", path, sha256.Sum256(data))
	for i := range 8 {
		doc += fmt.Sprintf("  - {name: c%d, api_key: %s, may: [query]}\n", i, hash(keyOf(i)))
	}
	m.running = serve(b, Config{Policy: parsed(b, doc)})
	return m
}

// bare runs the engine alone.
func (m *miniLM) bare(b *testing.B) time.Duration {
	began := time.Now()
	if _, err := m.session.Run(b.Context(), m.inputs); err != nil {
		b.Error(err)
	}
	return time.Since(began)
}

// ask sends a request of a caller through the gate.
func (m *miniLM) ask(b *testing.B, c *http.Client, caller int) time.Duration {
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "https://box.example/v2/models/minilm/infer", bytes.NewReader(m.body))
	if err != nil {
		b.Error(err)
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+keyOf(caller))
	r.Header.Set("Inference-Header-Content-Length", fmt.Sprint(m.head))
	began := time.Now()
	resp, err := c.Do(r)
	if err != nil {
		b.Error(err)
		return 0
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || n < 4*tokens*384 {
		b.Errorf("%s, %d bytes, %v", resp.Status, n, err)
	}
	return time.Since(began)
}

// BenchmarkModel is one sentence of 128 tokens for MiniLM, by a caller through the gate
// with tensors as bytes, in turns with the engine alone; then 8 callers at once, in turns
// with as many bare runs at once as there are processors. Over HTTP/2 callers share a
// connection; over HTTP/1.1 each has its own.
func BenchmarkModel(b *testing.B) {
	const file = "minilm-l6-int8.onnx"
	for _, c := range []struct{ proto, name string }{{"h2", ""}, {"http/1.1", "-http1"}} {
		b.Run("infer"+c.name, func(b *testing.B) {
			m := newMiniLM(b, file)
			client := m.client(b, c.proto)
			m.ask(b, client, 0)
			var ours, bare []time.Duration
			var used [2][]float64 // ms of a processor, of client and box
			for b.Loop() {
				before := processorTime(b)
				ours = append(ours, m.ask(b, client, 0))
				between := processorTime(b)
				bare = append(bare, m.bare(b))
				used[0] = append(used[0], (between-before).Seconds()*1000)
				used[1] = append(used[1], (processorTime(b)-between).Seconds()*1000)
			}
			slices.Sort(ours)
			slices.Sort(bare)
			ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
			a, z := ours[len(ours)/2], bare[len(bare)/2]
			b.ReportMetric(ms(a), "p50-ms")
			b.ReportMetric(ms(z), "bare-p50-ms")
			b.ReportMetric(ms(a)-1.05*ms(z), "ms-over-1.05-bare")
			b.ReportMetric(ms(ours[0])-ms(bare[0]), "ms-over-at-best")
			b.ReportMetric(middle(used[0])-middle(used[1]), "ms-of-a-processor-over")
		})
		b.Run("throughput"+c.name, func(b *testing.B) {
			m := newMiniLM(b, file)
			client := m.client(b, c.proto)
			during := func(callers int, one func(caller int)) float64 {
				var all sync.WaitGroup
				var n atomic.Int64
				began := time.Now()
				for i := range callers {
					all.Go(func() {
						for time.Since(began) < time.Second/2 {
							one(i)
							n.Add(1)
						}
					})
				}
				all.Wait()
				return float64(n.Load()) / time.Since(began).Seconds()
			}
			var ours, bare, ratios []float64
			for b.Loop() {
				for range 2 {
					ours = append(ours, during(8, func(i int) { m.ask(b, client, i) }))
					bare = append(bare, during(runtime.GOMAXPROCS(0), func(int) { m.bare(b) }))
					ratios = append(ratios, ours[len(ours)-1]/bare[len(bare)-1])
				}
			}
			b.ReportMetric(middle(ours), "runs/s")
			b.ReportMetric(middle(bare), "bare-runs/s")
			b.ReportMetric(middle(ratios), "x-bare")
			b.ReportMetric(slices.Max(ours)/slices.Max(bare), "x-bare-best")
		})
	}
}
