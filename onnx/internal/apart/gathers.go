package apart

// gather reads from a table that is the same for all rows, or from each row the same
// places, or from each row by indices into all of them that count to that row's own.
func gather(s *step) ([]int, error) {
	data, err := s.axis(0)
	if err != nil {
		return nil, err
	}
	rank := len(s.in[0].one.Shape)
	along := from(s.int("axis", 0), rank)
	if data == along {
		at, err := s.offsets(s.in[0].one.Shape[along], 1)
		return s.each(along + at), err
	}
	indices, err := s.axis(1)
	switch {
	case err != nil:
		return nil, err
	case data == same:
		return s.each(along + indices), nil
	case indices != same:
		return nil, mixes("reads rows at places that other rows say")
	case data > along:
		data += len(s.in[1].one.Shape) - 1
	}
	return s.each(data), nil
}

// gatherND reads by tuples of indices.
func gatherND(s *step) ([]int, error) {
	data, err := s.axis(0)
	if err != nil {
		return nil, err
	}
	indices, rows := s.in[1].rows(s.n)
	last := len(s.in[1].one.Shape) - 1
	shared := s.int("batch_dims", 0)
	switch {
	case data == same && rows && indices < last && shared == 0:
		return s.each(indices), nil
	case data == 0 && rows && indices == 0 && last > 0 && shared > 0: // each row reads in itself
		return s.each(0), nil
	case data == 0 && shared == 0 && last >= 0:
		at, err := s.offsets(s.in[0].one.Shape[0], s.in[1].one.Shape[last])
		if err == nil && at == last {
			err = mixes("tuples of indices are of several rows")
		}
		return s.each(at), err
	}
	return nil, mixes("is not known to read each row's own alone")
}

// gatherElements reads in each row where the same row of the indices says.
func gatherElements(s *step) ([]int, error) {
	at, err := s.axis(0)
	if err != nil {
		return nil, err
	}
	indices, err := s.axis(1)
	if err != nil {
		return nil, err
	}
	if at == same || at != indices || s.in[0].one.Shape[at] != s.in[1].one.Shape[at] {
		return nil, mixes("does not read each row's own alone")
	}
	return s.across(at, s.int("axis", 0))
}

// offsets holds indices, which follow from the number of rows, to be those of one row
// plus the place where that row begins. Each tuple of them has its row's in front; rows
// are of a given length. It returns the axis of the indices on which rows lie.
func (s *step) offsets(length, tuple int64) (int, error) {
	f := s.in[1]
	refusal := mixes("reads rows at places that are not each row's own")
	at, ok := growth(f.one.Shape, f.many.Shape, s.n)
	if !ok || f.axis != loose {
		return 0, refusal
	}
	one, ok1 := integers(f.one.Value)
	many, ok2 := integers(f.many.Value)
	if !ok1 || !ok2 || tuple < 1 {
		return 0, refusal
	}
	part := int(product(f.one.Shape[at:]))
	for i, v := range many {
		row := i / part % int(s.n)
		single := one[i/(part*int(s.n))*part+i%part]
		switch {
		case i%int(tuple) != 0:
			ok = v == single
		default:
			ok = single >= 0 && single < length && v == single+int64(row)*length
		}
		if !ok {
			return 0, refusal
		}
	}
	return at, nil
}
