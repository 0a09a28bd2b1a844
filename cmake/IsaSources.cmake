# t2_isa_sources(target): compiles each file of native/cpu/isa once per instruction set, with T2_ISA naming the variant and the namespace it
# lives in, and those of native/cpu/amx for AMX alone. The program chooses among them at run time.
#
# A template or inline function of the standard library that is not inlined becomes a weak symbol, and the linker keeps one copy of it for the
# whole addon, perhaps the AVX-512 one: a crash on other machines. CheckIsaSymbols.cmake fails the build when such a symbol appears.
if(T2_X86_64)
  set(T2_ISAS baseline avx2 avx512 amx amx_emulated)
  set(T2_ISA_FLAGS_baseline ${T2_BASELINE_FLAGS})
  set(T2_ISA_FLAGS_avx2 -march=x86-64-v3)
  set(T2_ISA_FLAGS_avx512 -march=x86-64-v4)
  set(T2_ISA_FLAGS_amx -march=x86-64-v4) # its tiles are written as instructions, which Clang's assembler must be told of
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    list(APPEND T2_ISA_FLAGS_amx -mamx-tile -mamx-bf16)
  endif()
  set(T2_ISA_FLAGS_amx_emulated -march=x86-64-v4 -DT2_TILES_EMULATED)
else()
  set(T2_ISAS neon)
  set(T2_ISA_FLAGS_neon)
endif()

# GCC's own AVX-512 header reads an undefined register on purpose and warns about it (GCC bug 105593).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(T2_ISA_QUIET -Wno-maybe-uninitialized -Wno-uninitialized)
endif()

function(t2_isa_sources target)
  set(all_objects)
  foreach(isa IN LISTS T2_ISAS)
    set(objects ${target}_${isa})
    if(isa MATCHES "^amx")
      file(GLOB sources CONFIGURE_DEPENDS native/cpu/amx/*.cpp)
    else()
      file(GLOB sources CONFIGURE_DEPENDS native/cpu/isa/*.cpp)
    endif()
    add_library(${objects} OBJECT ${sources})
    set_target_properties(${objects} PROPERTIES T2_ISA ${isa})
    target_include_directories(${objects} PRIVATE $<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>)
    target_compile_definitions(${objects} PRIVATE T2_ISA=${isa})
    # -Wno-psabi: vectors wider than the baseline's registers are passed only between functions of one variant.
    target_compile_options(${objects} PRIVATE ${T2_ISA_FLAGS_${isa}} -fno-math-errno -ffp-contract=fast -Wno-psabi ${T2_ISA_QUIET})
    target_link_libraries(${objects} PRIVATE t2_options)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
    if(NOT isa STREQUAL "baseline")
      list(APPEND all_objects $<TARGET_OBJECTS:${objects}>)
    endif()
  endforeach()
  if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT T2_SANITIZE AND CMAKE_NM)
    add_custom_command(
      TARGET ${target} PRE_LINK
      COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} "-DOBJECTS=${all_objects}" -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/CheckIsaSymbols.cmake
      VERBATIM)
  endif()
endfunction()
