package conv

// minPixels is the smallest output for which Winograd's form is chosen.
const minPixels = 12 * 12

// worthwhile says that Winograd's form is faster than the direct one, for a geometry
// that it can compute. It takes a quarter of the products, but four times the weights,
// which a run has to bring from memory: that must be worth it for the pixels that use
// them. The memory counts too, so a small gain is not enough.
//
// Share of the direct form's time with one thread, weights from memory (BenchmarkWinograd;
// Xeon 6, 2.6 GHz; of several runs the one least disturbed):
//
//	channels@output  AVX2  AVX-512        channels@output  AVX2  AVX-512
//	64@56            0.60  0.50           32@160           0.86  0.51
//	128@28           0.49  0.43           64@80            0.52  0.48
//	256@14           0.62  0.86           128@40           0.45  0.46
//	192@17           0.68  0.74           256@20           0.51  0.60
//	32@77            0.80  0.63           80 to 192@36     0.49  0.49
//	32@17            0.81  0.75           12@40            0.61  0.79
//	64@12            0.42  1.05           8 to 64@64       0.63  1.04
//	256@12           0.72  0.97           64@8             0.66  0.92
//	256@10           0.95  1.21           256@8            0.76  1.79
//	512@7            1.32  1.97           64@4             1.54  2.05
//
// More threads share the same parts, and change the two forms alike.
func worthwhile(p *Plan) bool {
	g := &p.g
	size := pixels(g.Out)
	tiles := ((g.Out[0] + tileOut - 1) / tileOut) * ((g.Out[1] + tileOut - 1) / tileOut)
	switch {
	case size < minPixels, min(g.Channels, g.Filters) < p.block*3/4:
		return false
	case size/7 < tiles: // tiles reach far beyond the output
		return false
	}
	return g.Channels <= size*size/g.Filters
}
