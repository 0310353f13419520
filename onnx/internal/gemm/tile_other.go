//go:build !amd64 || purego

package gemm

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// assembly is never reached: kernel.Best is Portable in this build.
func (t *tile) assembly(kernel.Level) { t.portable() }

// turn leaves all to the caller.
func turn([]float32, View, int, int, int) (rows, columns int) { return 0, 0 }

// dots16 is never reached: it is not for Portable.
func dots16(_, _, _ []float32, _, _, _ int) {}
