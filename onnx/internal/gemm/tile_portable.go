package gemm

// portable is the form for every machine and the oracle of the others.
func (t *tile) portable() {
	for ; t.tiles > 0; t.tiles-- {
		rows := t.height
		if t.taller > 0 {
			t.taller--
			rows++
		}
		t.compute(rows)
		if t.tiles > 1 {
			t.advance(rows)
		}
	}
}

// advance goes on to the tile below.
func (t *tile) advance(rows int) {
	if t.k > 0 {
		t.a = t.a[rows*t.aRow:]
	}
	t.c = t.c[rows*t.cRow:]
	if t.rowBias != nil {
		t.rowBias = t.rowBias[rows:]
	}
	if t.flags&add != 0 {
		t.extra = t.extra[rows*t.extraRow:]
	}
}

// compute does one tile.
func (t *tile) compute(rows int) {
	var sums [4][4]float32
	if t.flags&carry != 0 {
		for r := range rows {
			copy(sums[r][:t.cols], t.c[r*t.cRow:])
		}
	}
	switch {
	case t.k == 0:
	case rows == 4 && t.cols == 4:
		t.sum4x4(&sums)
	default:
		t.sumEdge(&sums, rows)
	}
	for r := range rows {
		row := sums[r][:t.cols]
		if t.flags&finish != 0 { // before c is written: it may be what is added
			t.finishRow(row, r)
		}
		copy(t.c[r*t.cRow:], row)
	}
}

// sum4x4 keeps four sums of a column at a time in registers: sixteen, with
// their operands, are more than most machines have.
func (t *tile) sum4x4(sums *[4][4]float32) {
	a0, a1, a2, a3 := t.a, t.a[t.aRow:], t.a[2*t.aRow:], t.a[3*t.aRow:]
	for half := 0; half < 4; half += 2 {
		s00, s01 := sums[0][half], sums[0][half+1]
		s10, s11 := sums[1][half], sums[1][half+1]
		s20, s21 := sums[2][half], sums[2][half+1]
		s30, s31 := sums[3][half], sums[3][half+1]
		at, b := 0, t.b[half:]
		for p := 0; p < t.k; p++ {
			row := b[p*t.bRow:]
			b0, b1 := row[0], row[1]
			x0, x1, x2, x3 := a0[at], a1[at], a2[at], a3[at]
			s00 += x0 * b0
			s01 += x0 * b1
			s10 += x1 * b0
			s11 += x1 * b1
			s20 += x2 * b0
			s21 += x2 * b1
			s30 += x3 * b0
			s31 += x3 * b1
			at += t.aCol
		}
		sums[0][half], sums[0][half+1] = s00, s01
		sums[1][half], sums[1][half+1] = s10, s11
		sums[2][half], sums[2][half+1] = s20, s21
		sums[3][half], sums[3][half+1] = s30, s31
	}
}

// sumEdge does tiles at the lower and right edge.
func (t *tile) sumEdge(sums *[4][4]float32, rows int) {
	for r := range rows {
		row := sums[r][:t.cols]
		for p := range t.k {
			x := t.a[r*t.aRow+p*t.aCol]
			b := t.b[p*t.bRow:]
			for j := range row {
				row[j] += x * b[j]
			}
		}
	}
}

// finishRow makes results of the sums of row r.
func (t *tile) finishRow(row []float32, r int) {
	var rowBias float32
	if t.rowBias != nil {
		rowBias = t.rowBias[r]
	}
	for j, x := range row {
		if t.flags&scale != 0 {
			x *= t.alpha
		}
		if t.bias != nil {
			x += t.bias[j]
		}
		if t.rowBias != nil {
			x += rowBias
		}
		if t.flags&add != 0 {
			x += t.beta * t.extra[r*t.extraRow+j]
		}
		if t.flags&clip != 0 {
			x = clipped(x, t.lo, t.hi)
		}
		row[j] = x
	}
}

// clipped is x between lo and hi. NaN stays NaN, as in ONNX.
func clipped(x, lo, hi float32) float32 {
	if x < lo {
		x = lo
	}
	if x > hi {
		x = hi
	}
	return x
}
