package vec

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/blindbox/blindbox/onnx/internal/kernel"
)

// FuzzLevels compares each level with float64 on any numbers.
func FuzzLevels(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 192, 255})
	f.Add(make([]byte, 300))
	f.Fuzz(func(t *testing.T, data []byte) {
		src := make([]float32, min(len(data)/4, 200))
		for i := range src {
			src[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		dst := make([]float32, len(src))
		for _, level := range kernel.Levels() {
			for _, c := range unaryCases {
				c.run(level, dst, src)
				for i, x := range src {
					if e := off(c, dst[i], c.want(float64(x))); e > 1 {
						t.Errorf("%s, %v: %g of the bound at %g: got %g", c.name, level, e, x, dst[i])
					}
				}
			}
		}
	})
}
