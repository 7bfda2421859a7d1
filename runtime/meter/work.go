package meter

// What compiling an instruction takes, from measurements of modules full of it, in
// units of a plain instruction's: about 0.25 µs with wazero's compiler on an EPYC
// server core. It bounds what loading takes and is no part of what running costs.
const (
	workPlain   = 1
	workCall    = 5
	workLabel   = 4 // of a br_table
	workChecked = 8 // ends in a trap for some operands, or is several instructions
	workMemory  = 12
	workExit    = 32 // leaves the compiled code
	workBulk    = 100
	workBlock   = 14
	bulkBlocks  = 3 // a bulk operation is a loop of its own
	// Every place where the code splits makes all others of the function dearer: at
	// squareBlocks of them, the work for one has grown by workBlock.
	squareBlocks = 210
	workLocal    = 1.0 / 16
)

// bodyWork is what compiling the function takes that was read last.
func (w *body) bodyWork() int {
	return w.work + w.blocks*workBlock*(squareBlocks+w.blocks)/squareBlocks + int(float64(w.locals)*workLocal)
}
