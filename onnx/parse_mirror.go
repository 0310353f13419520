package onnx

import (
	"slices"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// Language models often multiply by their embedding at the end, and exporters store it
// a second time for that, transposed: a quarter of GPT-2's file. What is recognized as
// the transpose of a matrix that was read before takes no memory of its own.

// mirrorElements is the size from which on a matrix may be a mirror: below, there is
// little to spare.
const mirrorElements = 1 << 20

// band is how many rows of a mirror are held while they are compared.
const band = 32

// mirrorLooks is how many times as many elements as a matrix has are compared with it at
// most. Candidates that differ where it shows at once cost next to nothing; of hundreds
// that differ at the end of a band, a model could make minutes.
const mirrorLooks = 4

// mirror reads a matrix that may be the transpose of another one, and takes memory for
// it only when they differ.
type mirror struct {
	shape      []int64
	candidates []*tensor.Tensor // matrices of the transposed shape
	rows       *tensor.Tensor   // a band of rows that is being read
	filled     int              // bytes of it
	agreed     int              // rows that were compared and let go
	left       int              // elements that may still be compared
	part       []uint32         // of a row of a candidate
	made       *tensor.Tensor   // the matrix, once none of the candidates agrees
	room       room             // makes it
	rest       func([]byte) error
}

// room makes a tensor, and what takes its bytes.
type room func() (*tensor.Tensor, func([]byte) error, error)

// mirrorOf returns nil for what need not be compared with anything. Matrices that are
// compared with others later are kept in mind.
func (p *parser) mirrorOf(tp *tensorProto) *mirror {
	if !tp.mirrors || !isLargeMatrix(tp.typ, tp.dims) {
		return nil
	}
	m := &mirror{shape: slices.Clone(tp.dims), left: mirrorLooks * int(tp.dims[0]*tp.dims[1])}
	for _, t := range p.matrices {
		if t.Shape[0] == tp.dims[1] && t.Shape[1] == tp.dims[0] {
			m.candidates = append(m.candidates, t)
		}
	}
	if len(m.candidates) == 0 {
		return nil
	}
	rows, err := tensor.New(tp.typ, []int64{band, tp.dims[1]})
	if err != nil || tensor.LittleEndian(rows) == nil {
		return nil
	}
	m.rows, m.part = rows, make([]uint32, band)
	return m
}

// isLargeMatrix says whether a matrix is worth comparing; its bands are at most half
// of it.
func isLargeMatrix(t tensor.DataType, shape []int64) bool {
	return t == tensor.Float32 && len(shape) == 2 && min(shape[0], shape[1]) >= 2*band && shape[0]*shape[1] >= mirrorElements
}

// read takes all elements. It returns the matrix, or the one whose transpose it is.
func (m *mirror) read(from pieces, into room) (made, mirrored *tensor.Tensor, err error) {
	m.room = into
	if err := from(4, m.take); err != nil {
		return nil, nil, err
	}
	if m.made != nil {
		return m.made, nil, nil
	}
	return nil, m.candidates[0], nil
}

// take takes the next bytes of the matrix.
func (m *mirror) take(b []byte) error {
	for len(b) > 0 && m.rest == nil {
		rows := min(band, int(m.shape[0])-m.agreed)
		raw := tensor.LittleEndian(m.rows)[:4*rows*int(m.shape[1])]
		n := copy(raw[m.filled:], b)
		m.filled, b = m.filled+n, b[n:]
		if m.filled < len(raw) {
			return nil
		}
		if err := m.compare(rows); err != nil {
			return err
		}
	}
	if len(b) == 0 {
		return nil
	}
	return m.rest(b)
}

// compare holds the rows that were read against the candidates. Those after the first
// one that agrees are not needed any more: one that differs further on becomes a matrix
// of its own.
func (m *mirror) compare(rows int) error {
	own := tensor.Words[uint32](m.rows)
	for i, t := range m.candidates {
		if m.agrees(own, t, rows) {
			m.candidates = m.candidates[i : i+1]
			m.agreed += rows
			m.filled = 0
			return nil
		}
	}
	return m.differ(rows)
}

// agrees compares rows with the same columns of another matrix, bit by bit, as long as
// there are looks left.
func (m *mirror) agrees(own []uint32, other *tensor.Tensor, rows int) bool {
	width := int(m.shape[1])
	for c := range width {
		if m.left -= rows; m.left < 0 {
			return false
		}
		for r, v := range tensor.RowWords(m.part[:rows], other, c, m.agreed) {
			if own[r*width+c] != v {
				return false
			}
		}
	}
	return true
}

// differ makes a matrix of its own: of the rows that agreed, those that were read last,
// and what comes.
func (m *mirror) differ(last int) (err error) {
	if m.made, m.rest, err = m.room(); err != nil {
		return err
	}
	width := int(m.shape[1])
	if m.agreed > 0 {
		if err := m.again(width); err != nil {
			return err
		}
	}
	err = m.rest(tensor.LittleEndian(m.rows)[:4*last*width])
	m.rows = nil
	return err
}

// again adds the rows that agreed, out of the matrix that they agreed with.
func (m *mirror) again(width int) error {
	rows, err := tensor.New(tensor.Float32, []int64{band, m.shape[1]})
	if err != nil {
		return err
	}
	own := tensor.Words[uint32](rows)
	for from := 0; from < m.agreed; from += band {
		for c := range width {
			for r, v := range tensor.RowWords(m.part, m.candidates[0], c, from) {
				own[r*width+c] = v
			}
		}
		if err := m.rest(tensor.LittleEndian(rows)); err != nil {
			return err
		}
	}
	return nil
}
