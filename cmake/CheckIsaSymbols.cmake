# Fails when an object compiled for a wider instruction set has a weak symbol, which could replace the baseline's copy: see IsaSources.cmake.
execute_process(COMMAND ${NM} --demangle --defined-only ${OBJECTS} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[0-9a-f]+ [wWvVu] [^\n]*" weak "${symbols}")
list(FILTER weak EXCLUDE REGEX "DW\\.ref\\.")
if(weak)
  string(REPLACE ";" "\n  " weak "${weak}")
  message(FATAL_ERROR "Files under native/cpu/isa must not leave shared inline functions behind; make these static, or do not use them there:\n  ${weak}")
endif()
