package conv

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// three is a layer of 3x3 taps without padding.
func three(channels, filters, size int) Geometry {
	g := square(channels, filters, 1, size, 3, 1)
	g.Begin, g.Out = []int{0, 0}, []int{size - 2, size - 2}
	return g
}

// BenchmarkWinograd has the direct and Winograd's form of layers in turns, each with
// weights that the cache has not seen since the last turn: a net's others come between.
// It shows the best of each in microseconds, and their ratio.
func BenchmarkWinograd(b *testing.B) {
	for _, level := range levels()[1:] {
		for _, l := range []struct {
			name string
			g    Geometry
		}{
			{"resnet-64@56", square(64, 64, 1, 56, 3, 1)},
			{"resnet-128@28", square(128, 128, 1, 28, 3, 1)},
			{"resnet-256@14", square(256, 256, 1, 14, 3, 1)},
			{"resnet-512@7", square(512, 512, 1, 7, 3, 1)},
			{"facenet-32@79", three(32, 32, 79)},
			{"facenet-32-64@77", square(32, 64, 1, 77, 3, 1)},
			{"facenet-80-192@38", three(80, 192, 38)},
			{"facenet-32@17", square(32, 32, 1, 17, 3, 1)},
			{"facenet-192@17", square(192, 192, 1, 17, 3, 1)},
			{"facenet-256@8", square(256, 256, 1, 8, 3, 1)},
			{"yolo-32@160", square(32, 32, 1, 160, 3, 1)},
			{"yolo-64@80", square(64, 64, 1, 80, 3, 1)},
			{"yolo-128@40", square(128, 128, 1, 40, 3, 1)},
			{"yolo-256@20", square(256, 256, 1, 20, 3, 1)},
			{"few-16@32", square(16, 16, 1, 32, 3, 1)},
			{"few-8@64", square(8, 8, 1, 64, 3, 1)},
			{"few-64@8", square(64, 64, 1, 8, 3, 1)},
			{"few-64@4", square(64, 64, 1, 4, 3, 1)},
		} {
			b.Run(fmt.Sprintf("%v/%s", level, l.name), func(b *testing.B) { besideDirect(b, level, l.g) })
		}
	}
}

func besideDirect(b *testing.B, level kernel.Level, g Geometry) {
	rng, on := rand.New(rand.NewPCG(1, 1)), &kernel.On{Level: level}
	src := random(rng, laidLen(on, Blocked, g.Batch, g.Channels, pixels(g.In)))
	dst := make([]float32, laidLen(on, Blocked, g.Batch, g.Filters, pixels(g.Out)))
	var turns [2][]func()
	best := [2]time.Duration{time.Hour, time.Hour}
	for i := range turns {
		p := formed(b, level, g, i == 1)
		scratch := make([]float32, p.Scratch())
		for range max(2, min(20, (12<<20)/p.PackedLen())) {
			packed := packedFar(b, p)
			turns[i] = append(turns[i], func() {
				if err := p.Run(on, packed, dst, src, nil, Relu(), scratch); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
	for turn := 0; b.Loop(); turn++ {
		for i, runs := range turns {
			start := time.Now()
			runs[turn%len(runs)]()
			best[i] = min(best[i], time.Since(start))
		}
	}
	b.ReportMetric(float64(best[0].Nanoseconds())/1e3, "µs-direct")
	b.ReportMetric(float64(best[1].Nanoseconds())/1e3, "µs-winograd")
	b.ReportMetric(float64(best[1])/float64(best[0]), "ratio")
	b.ReportMetric(0, "ns/op")
}

// packedFar packs random weights, in large pages as a session has them.
func packedFar(b *testing.B, p *Plan) []float32 {
	rng := rand.New(rand.NewPCG(1, 1))
	packed := tensor.Lasting(p.PackedLen())
	if err := p.Pack(best(), packed, random(rng, p.weights()), random(rng, p.g.Filters)); err != nil {
		b.Fatal(err)
	}
	return packed
}

// formed plans a layer in one of the two forms, whatever the rule says.
func formed(t testing.TB, level kernel.Level, g Geometry, minimal bool) *Plan {
	t.Helper()
	p, err := NewPlan(level, g, Blocked, Blocked)
	if err != nil {
		t.Fatal(err)
	}
	ok := false
	if minimal {
		p.how, ok = newWinograd(p, nil)
	} else {
		p.how, ok = newDirect(p, nil)
	}
	if !ok {
		t.Fatalf("no such form of %+v", g)
	}
	return p
}
