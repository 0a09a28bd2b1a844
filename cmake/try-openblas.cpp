// Linked by OpenBLAS.cmake to see whether a static OpenBLAS needs anything that is not there (LAPACK's drivers may want a Fortran run-time
// library). Never run.
extern "C" {
void cblas_sgemm();
void dgesdd_();
void dgesvd_();
void dstedc_();
void sgesdd_();
}

using function = void (*)();
extern const function needed[] = {cblas_sgemm, dgesdd_, dgesvd_, dstedc_, sgesdd_};
