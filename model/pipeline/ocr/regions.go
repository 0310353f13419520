package ocr

import (
	"cmp"
	"context"
	"slices"
)

// run is a stretch of a row that is text, from x on up to before end.
type run struct {
	y, x, end int32
	region    int32 // index of a run of the same region that is not after it
}

// region is a set of pixels that touch each other, also at corners.
type region struct {
	pixels  int64
	corners []Point // the first and the last pixel of each of its runs, from top to bottom
}

// regions returns the n largest of a mask with rows of w pixels, the upper ones first among equals.
func regions(ctx context.Context, mask []bool, w, n int) ([]region, error) {
	runs, err := runsOf(ctx, mask, w)
	if err != nil {
		return nil, err
	}
	number, list := make([]int32, len(runs)), []region{}
	for i := range runs {
		root := rootOf(runs, int32(i))
		if root == int32(i) {
			number[i] = int32(len(list))
			list = append(list, region{})
		}
		r := &list[number[root]]
		r.pixels += int64(runs[i].end - runs[i].x)
	}
	keep := largest(list, n)
	for i, r := range runs {
		if at := number[rootOf(runs, int32(i))]; keep[at] {
			list[at].outline(r)
		}
	}
	return slices.DeleteFunc(list, func(r region) bool { return r.corners == nil }), nil
}

// outline takes a run, which is behind the runs before it and not above them. Of what lies between
// the ends of a row nothing is kept: it takes much memory where text looks like a comb.
func (r *region) outline(next run) {
	y, end := float64(next.y), float64(next.end-1)
	if n := len(r.corners); n > 0 && r.corners[n-1].Y == y {
		r.corners[n-1].X = end
		return
	}
	r.corners = append(r.corners, Point{float64(next.x), y}, Point{end, y})
}

// largest says which n regions have the most pixels.
func largest(list []region, n int) []bool {
	order, keep := make([]int, len(list)), make([]bool, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(list[b].pixels, list[a].pixels) })
	for _, i := range order[:min(n, len(order))] {
		keep[i] = true
	}
	return keep
}

// runsOf finds all runs, and joins those that touch.
func runsOf(ctx context.Context, mask []bool, w int) ([]run, error) {
	var runs []run
	upper := 0 // the first run of the row above
	for y := range len(mask) / w {
		if y%16 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		first := len(runs)
		runs = appendRuns(runs, mask[y*w:][:w], y)
		join(runs, upper, first)
		upper = first
	}
	return runs, nil
}

func appendRuns(runs []run, row []bool, y int) []run {
	for x := 0; x < len(row); x++ {
		if !row[x] {
			continue
		}
		begin := x
		for x < len(row) && row[x] {
			x++
		}
		runs = append(runs, run{int32(y), int32(begin), int32(x), int32(len(runs))})
	}
	return runs
}

// join makes runs from first on one region with those of the row above, from upper on, that they
// touch.
func join(runs []run, upper, first int) {
	above := runs[upper:first]
	for i := first; i < len(runs); i++ {
		for len(above) > 0 && above[0].end < runs[i].x {
			above = above[1:] // ends before this run and all that follow
		}
		for j := range above {
			if above[j].x > runs[i].end {
				break
			}
			unite(runs, int32(first-len(above)+j), int32(i))
		}
	}
}

func unite(runs []run, a, b int32) {
	a, b = rootOf(runs, a), rootOf(runs, b)
	runs[max(a, b)].region = min(a, b)
}

// rootOf returns the first run of a region, and shortens the way to it.
func rootOf(runs []run, i int32) int32 {
	for runs[i].region != i {
		runs[i].region = runs[runs[i].region].region
		i = runs[i].region
	}
	return i
}
