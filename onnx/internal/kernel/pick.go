package kernel

// Pick takes elements of a where choose says so, else of b: operands 0 to 3 of a Walk
// are dst, choose, a and b.
func Pick[T any](dst []T, choose []bool, a, b []T) Run {
	return func(n int, at, step []int) error {
		to, from := at[0], at[1]
		switch {
		case step[1] == 0 && choose[from]:
			run(dst, to, step[0], a, at[2], step[2], n)
		case step[1] == 0:
			run(dst, to, step[0], b, at[3], step[3], n)
		default:
			pickRun(dst[to:to+n], choose[from:from+n], a[at[2]:], step[2], b[at[3]:], step[3])
		}
		return nil
	}
}

// pickRun picks for choices that follow each other, as they do in a Walk whenever
// they differ.
func pickRun[T any](dst []T, choose []bool, a []T, stepA int, b []T, stepB int) {
	choose = choose[:len(dst)]
	if stepA == 1 && stepB == 0 {
		a, y := a[:len(dst)], b[0]
		for i, c := range choose {
			x := y
			if c {
				x = a[i]
			}
			dst[i] = x
		}
		return
	}
	for i, c := range choose {
		if c {
			dst[i] = a[i*stepA]
		} else {
			dst[i] = b[i*stepB]
		}
	}
}
