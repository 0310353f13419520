//go:build !amd64 || purego

package conv

import "github.com/blindbox/blindbox/onnx/internal/kernel"

// assembly is never reached: without assembly the best level is Portable.
func (t *tile) assembly(_ kernel.Level, how form, f, q int) { t.portable(how, f, q, 8) }

// assembly is never reached either.
func (t *poolTile) assembly(mean bool, block int) { t.portable(mean, block) }

func (t *inward) assembly16() { t.portable(16) }
func (t *inward) assembly8()  { t.portable(8) }

func (t *outward) assembly16() { t.portable(16) }
func (t *outward) assembly8()  { t.portable(8) }
