package apart

// matmul multiplies the last two axes and broadcasts those before. Rows may be rows of
// the left matrix, columns of the right one, or on an axis before.
func matmul(s *step) ([]int, error) {
	for i := 2; i < len(s.in); i++ { // zero points of integers
		if s.has(i) && (s.in[i].axis != same || product(s.in[i].one.Shape) != 1) {
			return nil, mixes("operand %d is not one number for all rows", i)
		}
	}
	a, err := s.axis(0)
	if err != nil {
		return nil, err
	}
	b, err := s.axis(1)
	if err != nil {
		return nil, err
	}
	left, right := len(s.in[0].one.Shape), len(s.in[1].one.Shape)
	switch {
	case left < 2 || right < 2:
		return s.vector(a, b)
	case a == left-1 || b == right-2:
		return nil, mixes("sums over axis %d, on which rows lie", max(a, b))
	}
	return s.matrices(a, b)
}

// vector multiplies with a vector on the right, which is the same for all rows.
func (s *step) vector(a, b int) ([]int, error) {
	left, right := len(s.in[0].one.Shape), len(s.in[1].one.Shape)
	if b != same || right != 1 || a < 0 || a >= left-1 {
		return nil, mixes("multiplies with a vector of rows")
	}
	return s.each(a), nil
}

// matrices says where the rows of a product are, whose operands have theirs on no axis
// that is summed over.
func (s *step) matrices(a, b int) ([]int, error) {
	rank := len(s.one[0].Shape)
	left, right := len(s.in[0].one.Shape), len(s.in[1].one.Shape)
	at, other := rank-left+a, 1
	if a == same {
		at, other = rank-right+b, 0
	}
	switch {
	case a != same && b != same && (rank-right+b != at || at >= rank-2):
		return nil, mixes("both operands have rows, on different axes")
	case at < rank-2: // an axis before, which is broadcast
		return s.each(at), s.alone(0, 2, at)
	case s.in[other].axis != same:
		return nil, mixes("operand %d is not the same for every row", other)
	}
	return s.each(at), nil
}

// gemm multiplies rows with one matrix and adds what is the same for all of them, or rows.
func gemm(s *step) ([]int, error) {
	a, err := s.axis(0)
	if err != nil {
		return nil, err
	}
	if a != 0 || s.int("transA", 0) != 0 || s.in[1].axis != same {
		return nil, mixes("rows are not rows of the left matrix alone")
	}
	if !s.has(2) {
		return s.each(0), nil
	}
	c, err := s.axis(2)
	if err != nil {
		return nil, err
	}
	shape := s.in[2].one.Shape
	switch {
	case c == same && len(shape) == 2 && shape[0] != 1:
		return nil, mixes("operand 2 has %d elements where rows lie side by side", shape[0])
	case c != same && (c != 0 || len(shape) != 2 || shape[0] != s.one[0].Shape[0]):
		return nil, mixes("rows of operand 2 are on another axis")
	}
	return s.each(0), nil
}

// quantized has one scale, or one for each place on an axis without rows.
func quantized(s *step) ([]int, error) {
	axis, err := s.only(0)
	if err != nil {
		return nil, err
	}
	if s.int("block_size", 0) != 0 {
		return nil, mixes("has scales for blocks")
	}
	if product(s.in[1].one.Shape) == 1 {
		return s.each(axis), nil
	}
	return s.across(axis, s.int("axis", 1))
}
