package conv

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// square is a 2-d layer on a square image, padded to keep its size but for the
// stride.
func square(channels, filters, groups, size, kernel, stride int) Geometry {
	out := (size + stride - 1) / stride
	pad := max(0, kernel-stride+1) / 2
	if stride == 1 {
		pad = kernel / 2
	}
	return Geometry{
		Batch: 1, Channels: channels, Filters: filters, Groups: groups,
		In: []int{size, size}, Kernel: []int{kernel, kernel}, Strides: []int{stride, stride},
		Dilation: []int{1, 1}, Begin: []int{pad, pad}, Out: []int{out, out},
	}
}

// layers are the distinct convolutions of nets, with how often each has them.
func layers() []struct {
	name  string
	times int
	g     Geometry
} {
	return []struct {
		name  string
		times int
		g     Geometry
	}{
		{"resnet/7x7s2-3-64@224", 1, square(3, 64, 1, 224, 7, 2)},
		{"resnet/1x1-64-64@56", 1, square(64, 64, 1, 56, 1, 1)},
		{"resnet/3x3-64-64@56", 3, square(64, 64, 1, 56, 3, 1)},
		{"resnet/1x1-64-256@56", 4, square(64, 256, 1, 56, 1, 1)},
		{"resnet/1x1-256-64@56", 2, square(256, 64, 1, 56, 1, 1)},
		{"resnet/1x1-256-128@56", 1, square(256, 128, 1, 56, 1, 1)},
		{"resnet/3x3s2-128-128@56", 1, square(128, 128, 1, 56, 3, 2)},
		{"resnet/1x1s2-256-512@56", 1, square(256, 512, 1, 56, 1, 2)},
		{"resnet/1x1-128-512@28", 4, square(128, 512, 1, 28, 1, 1)},
		{"resnet/1x1-512-128@28", 3, square(512, 128, 1, 28, 1, 1)},
		{"resnet/3x3-128-128@28", 3, square(128, 128, 1, 28, 3, 1)},
		{"resnet/1x1-512-256@28", 1, square(512, 256, 1, 28, 1, 1)},
		{"resnet/3x3s2-256-256@28", 1, square(256, 256, 1, 28, 3, 2)},
		{"resnet/1x1s2-512-1024@28", 1, square(512, 1024, 1, 28, 1, 2)},
		{"resnet/1x1-256-1024@14", 6, square(256, 1024, 1, 14, 1, 1)},
		{"resnet/1x1-1024-256@14", 5, square(1024, 256, 1, 14, 1, 1)},
		{"resnet/3x3-256-256@14", 5, square(256, 256, 1, 14, 3, 1)},
		{"resnet/1x1-1024-512@14", 1, square(1024, 512, 1, 14, 1, 1)},
		{"resnet/3x3s2-512-512@14", 1, square(512, 512, 1, 14, 3, 2)},
		{"resnet/1x1s2-1024-2048@14", 1, square(1024, 2048, 1, 14, 1, 2)},
		{"resnet/1x1-512-2048@7", 3, square(512, 2048, 1, 7, 1, 1)},
		{"resnet/1x1-2048-512@7", 2, square(2048, 512, 1, 7, 1, 1)},
		{"resnet/3x3-512-512@7", 2, square(512, 512, 1, 7, 3, 1)},

		{"mobilenet/3x3s2-3-32@224", 1, square(3, 32, 1, 224, 3, 2)},
		{"mobilenet/dw-32@112", 1, square(32, 32, 32, 112, 3, 1)},
		{"mobilenet/1x1-32-16@112", 1, square(32, 16, 1, 112, 1, 1)},
		{"mobilenet/1x1-16-96@112", 1, square(16, 96, 1, 112, 1, 1)},
		{"mobilenet/dws2-96@112", 1, square(96, 96, 96, 112, 3, 2)},
		{"mobilenet/1x1-96-24@56", 1, square(96, 24, 1, 56, 1, 1)},
		{"mobilenet/1x1-24-144@56", 2, square(24, 144, 1, 56, 1, 1)},
		{"mobilenet/dw-144@56", 1, square(144, 144, 144, 56, 3, 1)},
		{"mobilenet/1x1-144-24@56", 1, square(144, 24, 1, 56, 1, 1)},
		{"mobilenet/dws2-144@56", 1, square(144, 144, 144, 56, 3, 2)},
		{"mobilenet/1x1-32-192@28", 3, square(32, 192, 1, 28, 1, 1)},
		{"mobilenet/dw-192@28", 2, square(192, 192, 192, 28, 3, 1)},
		{"mobilenet/1x1-192-32@28", 2, square(192, 32, 1, 28, 1, 1)},
		{"mobilenet/1x1-64-384@14", 4, square(64, 384, 1, 14, 1, 1)},
		{"mobilenet/dw-384@14", 4, square(384, 384, 384, 14, 3, 1)},
		{"mobilenet/1x1-384-96@14", 1, square(384, 96, 1, 14, 1, 1)},
		{"mobilenet/1x1-960-160@7", 2, square(960, 160, 1, 7, 1, 1)},
		{"mobilenet/dw-960@7", 3, square(960, 960, 960, 7, 3, 1)},
		{"mobilenet/1x1-320-1280@7", 1, square(320, 1280, 1, 7, 1, 1)},

		{"wav2vec/10s5-1-512@16000", 1, line1d(1, 512, 1, 16000, 10, 5)},
		{"wav2vec/3s2-512-512@3199", 1, line1d(512, 512, 1, 3199, 3, 2)},
		{"wav2vec/2s2-512-512@199", 1, line1d(512, 512, 1, 199, 2, 2)},
		{"wav2vec/128-g16-768@49", 1, padded(line1d(768, 768, 16, 49, 128, 1), 64, 50)},
		{"yolo/6x6s2-3-32@640", 1, square(3, 32, 1, 640, 6, 2)},
		{"yolo/3x3-32-32@160", 1, square(32, 32, 1, 160, 3, 1)},
		{"yolo/3x3s2-32-64@320", 1, square(32, 64, 1, 320, 3, 2)},
		{"yolo/1x1-64-32@160", 1, square(64, 32, 1, 160, 1, 1)},
		{"facenet/1x7-128@17", 1, oneRow(128, 128, 17, 1, 7)},
		{"facenet/3x3-192@8", 1, square(192, 192, 1, 8, 3, 1)},
	}
}

func line1d(channels, filters, groups, size, kernel, stride int) Geometry {
	return Geometry{
		Batch: 1, Channels: channels, Filters: filters, Groups: groups, In: []int{size}, Kernel: []int{kernel},
		Strides: []int{stride}, Dilation: []int{1}, Begin: []int{0}, Out: []int{(size-kernel)/stride + 1},
	}
}

func padded(g Geometry, begin, out int) Geometry {
	g.Begin[0], g.Out[0] = begin, out
	return g
}

func oneRow(channels, filters, size, kh, kw int) Geometry {
	g := square(channels, filters, 1, size, 1, 1)
	g.Kernel, g.Begin = []int{kh, kw}, []int{kh / 2, kw / 2}
	return g
}

func flops(g *Geometry) float64 {
	return 2 * float64(g.Batch*g.Filters*pixels(g.Out)) * float64(g.Channels/g.Groups*pixels(g.Kernel))
}

func BenchmarkConv(b *testing.B) {
	for _, level := range kernel.Levels()[1:] {
		if level == kernel.VNNI {
			continue
		}
		for _, l := range layers() {
			in := Blocked
			if l.g.Channels < 8 {
				in = Planar
			}
			b.Run(fmt.Sprintf("%v/%s", level, l.name), func(b *testing.B) { benchmark(b, level, l.g, in) })
		}
	}
}

func benchmark(b *testing.B, level kernel.Level, g Geometry, in Layout) {
	rng := rand.New(rand.NewPCG(1, 1))
	on := &kernel.On{Level: level}
	c, err := New(&kernel.On{Level: level}, g, in, Blocked, random(rng, g.Filters*(g.Channels/g.Groups)*pixels(g.Kernel)), random(rng, g.Filters))
	if err != nil {
		b.Fatal(err)
	}
	src := random(rng, laidLen(on, in, g.Batch, g.Channels, pixels(g.In)))
	dst := make([]float32, laidLen(on, Blocked, g.Batch, g.Filters, pixels(g.Out)))
	scratch := make([]float32, c.Scratch())
	best := time.Hour
	for b.Loop() {
		start := time.Now()
		if err := c.Run(on, dst, src, nil, Relu(), scratch); err != nil {
			b.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	b.ReportMetric(flops(&g)/best.Seconds()/1e9, "GFLOPS-best")
	b.ReportMetric(float64(best.Microseconds()), "µs-best")
}
