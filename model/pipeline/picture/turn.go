package picture

// Turn returns the picture as EXIF's orientation says that it has to be seen: 1 as it is, 2
// mirrored, 3 by 180 degrees, 4 upside down, 5 mirrored and then 6, 6 by 90 degrees clockwise, 7
// mirrored and then 8, 8 by 90 degrees the other way. For any other number it is as it is.
func (m *Image) Turn(orientation int) *Image {
	w, h := m.W, m.H
	// Where the first pixel comes from, and how far its source is from that of the pixel
	// to the right and of the one below.
	var first, right, down int
	switch orientation {
	case 2:
		first, right, down = w-1, -1, w
	case 3:
		first, right, down = w*h-1, -1, -w
	case 4:
		first, right, down = (h-1)*w, 1, -w
	case 5:
		first, right, down = 0, w, 1
	case 6:
		first, right, down = (h-1)*w, -w, 1
	case 7:
		first, right, down = w*h-1, -w, -1
	case 8:
		first, right, down = w-1, w, -1
	default:
		return m
	}
	if orientation >= 5 {
		w, h = h, w
	}
	out := New(w, h)
	to := out.Pix
	for y := range h {
		from := first + y*down
		for range w {
			copy(to[:3], m.Pix[3*from:])
			to, from = to[3:], from+right
		}
	}
	return out
}
