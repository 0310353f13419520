package gemm

import (
	"github.com/blindbox/blindbox/onnx/internal/kernel"
	"github.com/blindbox/blindbox/onnx/internal/panel"
)

// PackOver lays out a matrix of k rows of n elements in its own memory, which belongs
// to the result from now on: a large model's weights need not be there twice. It takes
// memory for one panel and a bit for each row of each panel.
func PackOver(data []float32, level kernel.Level, k, n int) *Packed {
	Dense(data, n).check(k, n)
	packed := &Packed{data: data[:PackedLen(k, n)], k: k, n: n, level: level}
	panel.Over(packed.data, k, n, panelWidth(level))
	return packed
}

// InPanels takes a matrix that lies in panels of the level's width already, in whose
// memory the result lies.
func InPanels(data []float32, level kernel.Level, k, n int) *Packed {
	return &Packed{data: data[:PackedLen(k, n)], k: k, n: n, level: level}
}

// PanelWidth is how many columns of a matrix the level's tiles read at once.
func PanelWidth(level kernel.Level) int { return panelWidth(level) }

// PackOverTurned lays out the transpose of a matrix of n rows of k elements in its own
// memory, as PackOver does. It takes memory for one panel.
func PackOverTurned(data []float32, level kernel.Level, k, n int) *Packed {
	Dense(data, k).check(n, k)
	packed := &Packed{data: data[:PackedLen(k, n)], k: k, n: n, level: level}
	width := panelWidth(level)
	one := make([]float32, k*min(width, n))
	for c := 0; c < n; c += width { // the rows that make a panel lie where it will
		w := min(width, n-c)
		packPanel(level, one, Dense(packed.data[c*k:(c+w)*k], k).Turned(), k, 0, w)
		copy(packed.data[c*k:], one[:w*k])
	}
	return packed
}
