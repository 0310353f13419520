package tensor

import (
	"slices"
	"testing"
)

// inPanels is a matrix of 0, 1, 2, ... that was filled with its bytes, and these.
func inPanels(t *testing.T, k, n int64, width int) (*Tensor, []float32) {
	t.Helper()
	want := make([]float32, k*n)
	for i := range want {
		want[i] = float32(i)
	}
	m := NewInPanels(k, n, width)
	if m == nil {
		t.Skip("elements lie in another order here")
	}
	add, all := Filler(m), LittleEndian(Of(want, k, n))
	add(all[:4*n+6])
	add(all[4*n+6:])
	return m, want
}

func TestPanelsAreAMatrix(t *testing.T) {
	for name, read := range map[string]func(*Tensor) []float32{
		"Data":  Data[float32],
		"Words": func(m *Tensor) []float32 { Words[uint32](m); return Data[float32](m) },
		"Clone": func(m *Tensor) []float32 { return Data[float32](m.Clone()) },
		"LittleEndian": func(m *Tensor) []float32 {
			LittleEndian(m)
			return Data[float32](m)
		},
		"Reshaped": func(m *Tensor) []float32 { return Data[float32](m.Reshaped([]int64{35})) },
		"RowWords": func(m *Tensor) []float32 {
			for r := range 5 {
				for i, v := range RowWords(make([]uint32, 6), m, r, 1) {
					if v != Words[uint32](Scalar(float32(r*7 + 1 + i)))[0] {
						return nil
					}
				}
			}
			return Data[float32](m)
		},
	} {
		m, want := inPanels(t, 5, 7, 4)
		if err := m.Check(); err != nil || m.Len() != 35 || m.Bytes() != 140 || Address(m) == 0 {
			t.Errorf("%v, %d elements, %d bytes", err, m.Len(), m.Bytes())
		}
		if got := read(m); !slices.Equal(got, want) {
			t.Errorf("%s: %v", name, got)
		}
		if name != "Clone" && (Panels(m, 4) != nil || Filler(m) != nil) {
			t.Errorf("%s: panels where rows are", name)
		}
	}
}

func TestPanelsAreTakenAsTheyLie(t *testing.T) {
	m, want := inPanels(t, 5, 7, 4)
	if Panels(m, 8) != nil || Panels(m.Reshaped([]int64{7, 5}), 4) != nil || Panels(Of(want, 5, 7), 4) != nil {
		t.Error("panels of another width, another matrix or rows")
	}
	taken := Panels(m, 4)
	if len(taken) != 35 || !slices.Equal(taken[:8], []float32{0, 1, 2, 3, 7, 8, 9, 10}) || !slices.Equal(taken[32:], []float32{32, 33, 34}) {
		t.Fatalf("%v", taken)
	}
	before := slices.Clone(taken)
	if !slices.Equal(Data[float32](m), want) || !slices.Equal(taken, before) {
		t.Error("who asks for rows later moves what was taken")
	}
}
