// Package sound answers: what numbers does a model hear when somebody sends a recording?
// [Open] reads the head of a WAV file and says how long it is, before anything is paid
// for it; [Recording.Samples] makes one channel of it, at the rate that a model wants.
//
// It stands inside the box and reads what callers send: any bytes give a recording or an
// error, never a panic, and memory is taken for what is in the file, not for what its
// head promises. The same file always gives the same samples.
//
// # What is read
//
// WAV files (RIFF, little-endian) with whole numbers of 8, 16, 24 or 32 bits or floating
// point numbers of 32 or 64, as WAVE_FORMAT_PCM, _IEEE_FLOAT or _EXTENSIBLE, at 8,000 to
// 192,000 samples a second, of up to 32 channels, which are averaged. Samples go from -1
// to 1, as NumPy's readers of sound have them: n/32768 for 16 bits. The structure is that
// of "Multimedia Programming Interface and Data Specifications 1.0" (IBM and Microsoft,
// 1991) with "Multiple channel audio data and WAVE files" (Microsoft, 2001).
//
// # Other rates
//
// A recording of another rate goes through a windowed sinc: 32 zero crossings to each
// side, a Kaiser window of beta 7.857. Of tones up to 0.84 of the highest frequency that
// both rates can hold, less than a thousandth is lost; what would fold over from above
// that frequency is 80 dB down. The result is that of SciPy's resample_poly with the same
// window, to rounding.
package sound
